import json
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("pydantic")

from models.bundle import load_bundle
from training.config import Config, ConfigError, read_config
from training.config_words import reference

ROOT = Path(__file__).parents[2]


def config_of(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return read_config(path)


def test_only_the_steps_must_be_given_and_the_rest_is_documented(tmp_path):
    config = config_of(tmp_path, "steps = 10")
    assert config.data.phantoms == 1
    assert config.network.channels == (32, 64, 96, 160, 192, 192)
    assert json.loads(config.model_dump_json())["run"]["selection"] == "last"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "steps is missing. Batches in the whole run"),
        ("steps = 4.5", "steps = 4.5: .*integer"),
        ("steps = true", "steps = True: .*integer"),
        ("steps = 0", "steps = 0: .*greater than or equal to 1"),
        ("steps = 4\nstepz = 4", "stepz is unknown. Did you mean steps"),
        (
            "steps = 4\n[network]\nchanels = [1]",
            "network.chanels is unknown. Did you mean channels",
        ),
        ("steps = 4\ngrid_size = 64", r"grid_size .* belongs in the table \[network\]"),
        ("steps = 4\n[run]\nseed = 4", "run.seed .* belongs at the top"),
        ("steps = 4\n[network]\ngrid_size = 40\nchannels = [4, 4]", "multiple of 16, .* one is 48"),
        (
            "steps = 4\n[network]\ngrid_size = 48\nchannels = [4, 4, 4, 4, 4, 4]",
            "no multiple of 32, which a network of 6 levels needs; the next one is 64",
        ),
        ("steps = 4\n[network]\nchannels = [4, 0]", "network.channels = 0"),
        ("steps = 4\n[network]\nchannels = [4, 4.0]", "network.channels = 4.0"),
        ("steps = 4\n[network]\nmm_per_px = nan", "network.mm_per_px = nan"),
        ("steps = 4\n[optimiser]\nlearning_rate = 0", "optimiser.learning_rate = 0"),
        ("steps = 4\n[data]\nphantoms = 0.5", "name their folders in datasets"),
        ("steps = 4\n[data]\nphantoms = false", "name their folders in datasets"),
        ('steps = 4\n[data]\ndatasets = ["a"]', "set phantoms to the share"),
        ("steps = 4\n[data]\nvalidation = 1.5", "no share from 0 to 0.9"),
        ('steps = 4\n[run]\nselection = "thickness"', "needs validation images"),
        ('steps = 4\n[run]\nselection = "best"', "run.selection = 'best'"),
        ('steps = 4\n[run]\nprecision = "half"', "run.precision = 'half'"),
        ("steps = 4\n[loss]\ndice_weight = 0\ncross_entropy_weight = 0", "all 0"),
        ("steps = ", "is no TOML file"),
    ],
)
def test_a_wrong_configuration_names_file_field_and_remedy(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says) as caught:
        config_of(tmp_path, text)
    assert all(line.startswith(str(tmp_path)) for line in str(caught.value).splitlines())


def test_every_fault_is_told_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        config_of(tmp_path, "batch = 0\n[loss]\ndice_weight = -1")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert any("loss.dice_weight = -1" in line for line in lines)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(tmp_path / "none.toml")


def test_folders_are_relative_to_the_configuration(tmp_path):
    config = config_of(
        tmp_path, 'steps = 1\n[data]\nphantoms = 0.5\ndatasets = ["a"]\nvalidation = "b"'
    )
    assert config.data.datasets == (str(tmp_path / "a"),)
    assert config.data.validation == str(tmp_path / "b")


RECIPES = sorted(set((ROOT / "training").glob("*.toml")) - {ROOT / "training/about-default.toml"})


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_the_recipes_are_configurations(path):
    read_config(path)


def test_fine_tuning_has_the_network_of_the_shipped_bundle():
    config, bundle = read_config(ROOT / "training/finetune.toml"), load_bundle()
    assert list(config.network.channels) == bundle.architecture["channels"]
    assert (config.network.grid_size, config.network.mm_per_px) == (
        bundle.grid.size,
        bundle.grid.mm_per_px,
    )


def test_the_documentation_has_the_table_of_all_fields():
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    assert reference(Config) in text, (
        "put what `python -m training.config` prints into docs/training.md"
    )


def test_the_examples_of_the_documentation_are_configurations(tmp_path):
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in text.split("```toml\n")[1:]]
    assert blocks
    for block in blocks:
        assert tomllib.loads(block)
        config_of(tmp_path, block)
