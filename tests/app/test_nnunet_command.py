import json

import pytest
from typer.testing import CliRunner

from app.cli import app
from data.phantom.collection import write_phantoms


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, n=3, seed=6)
    return folder


def call(*words):
    return CliRunner().invoke(app, ["dataset", "export", *map(str, words)])


def test_the_command_says_what_it_wrote_and_what_to_do_with_the_split(phantoms, tmp_path):
    done = call(phantoms, tmp_path / "raw", "--number", 12, "--name", "Uterus")
    assert done.exit_code == 0, done.output
    assert "3 cases to learn from (0 of them for validation) and 0 to test on" in done.stdout
    assert "copy splits_final.json into nnUNet_preprocessed/Dataset012_Uterus" in done.stdout
    assert "with --ending .nii.gz it gets the millimetres" in done.stderr
    about = json.loads((tmp_path / "raw" / "Dataset012_Uterus" / "dataset.json").read_text())
    assert about["numTraining"] == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "coco"], "none of nnunet"),
        (["--number", "0"], "1 to 999"),
        (["--name", "a b"], "letters and digits"),
    ],
)
def test_wrong_usage_is_explained(phantoms, tmp_path, words, says):
    done = call(phantoms, tmp_path / "raw", *words)
    assert done.exit_code == 2 and says in done.stderr
    assert not (tmp_path / "raw").exists()


def test_what_is_no_data_set_is_explained(tmp_path):
    done = call(tmp_path, tmp_path / "raw")
    assert done.exit_code == 2 and "name the folder that holds train" in done.stderr
