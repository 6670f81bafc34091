import json
import shutil

import pytest
from typer.testing import CliRunner

from app.cli import app
from models.bundle import CARD, DEFAULT_BUNDLE, load_bundle


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(DEFAULT_BUNDLE, tmp_path / "own")


def call(*words):
    return CliRunner().invoke(app, ["bundle", *map(str, words)])


def signed(folder, *more):
    words = ("--by", "A. Smith", "--role", "PI", "--note", "read the card")
    return call("sign-off", folder, *words, *more)


def change(folder, edit):
    card = json.loads((folder / CARD).read_text())
    edit(card)
    (folder / CARD).write_text(json.dumps(card))


def test_a_card_is_shown_in_words():
    done = call("show")
    assert done.exit_code == 0, done.output
    text = " ".join(done.stdout.split())
    for words in (
        "phantom-8",
        "Apache-2.0",
        "learned from 963200 pictures",
        "known to fail",
        "Dice",
    ):
        assert words in text
    assert "0 mm and more" in text and "network.bin" in text and "Nobody has signed it off." in text


def test_intervals_by_thickness_are_shown_one_by_one(copy):
    bins = [{"below_mm": end, "lower_factor": 1.5, "upper_factor": 0.5} for end in (4.0, 8.0, None)]
    change(copy, lambda card: card["intervals"].update(bins=bins))
    text = " ".join(call("show", copy).stdout.split())
    for words in ("0 to 4 mm", "4 to 8 mm 1.5 below to 0.5 above", "8 mm and more"):
        assert words in text


def test_a_card_is_shown_as_data(copy):
    signed(copy)
    facts = json.loads(call("show", copy, "--json").stdout)
    assert facts["card"]["name"] == load_bundle().name
    assert facts["bytes"]["network.bin"] == (copy / "network.bin").stat().st_size
    assert [entry["by"] for entry in facts["sign_offs"]] == ["A. Smith"]
    assert facts["sign_offs"][0]["doubts"] == []


def test_a_card_that_cannot_be_shown_is_an_error_without_a_traceback(copy):
    change(copy, lambda card: card.update(metrics=[1, 2]))
    done = call("show", copy)
    assert done.exit_code == 1 and "cannot be shown" in done.stderr
    assert not isinstance(done.exception, AttributeError)


def test_control_characters_of_a_card_do_not_reach_the_terminal(copy):
    change(copy, lambda card: card.update(name="x\x1b[31m", known_failures="a\x1b]0;b"))
    assert "\x1b" not in call("show", copy).stdout


def test_a_whole_bundle_passes_and_a_changed_one_does_not(copy):
    done = call("verify", copy)
    assert done.exit_code == 0 and "Everything holds." in done.stdout
    with (copy / "network.bin").open("ab") as file:
        file.write(b"x")
    done = call("verify", copy)
    assert done.exit_code == 1 and "FAILS  network.bin: changed or damaged" in done.stdout
    found = json.loads(call("verify", copy, "--json").stdout)
    assert found["sound"] is False
    assert {"network.bin", "card"} <= {c["name"] for c in found["checks"] if c["held"] is False}


def test_what_is_no_bundle_is_wrong_usage(tmp_path):
    for command in ("show", "verify"):
        done = call(command, tmp_path)
        assert done.exit_code == 2 and "not a bundle" in done.stderr
    assert signed(tmp_path).exit_code == 2


def test_a_sign_off_holds_until_the_card_is_changed(copy):
    done = signed(copy)
    assert done.exit_code == 0 and done.stdout.startswith("Sign-off 1 of phantom-8: sha256 ")
    sha = done.stdout.split()[-1]
    assert call("verify", copy, "--sign-off", sha).exit_code == 0
    assert "Sign-off 1 holds" in call("show", copy).stdout
    assert call("describe", copy).exit_code == 0  # nothing is said anew, so nothing changes
    assert call("verify", copy).exit_code == 0
    change(copy, lambda card: card.update(known_failures="Nothing."))
    done = call("verify", copy)
    assert done.exit_code == 1
    assert "sign-off 1: no longer holds, the card was changed since" in done.stdout
    assert "no longer holds" in call("show", copy).stdout
    assert call("verify", copy, "--sign-off", "0" * 64).exit_code == 1


def test_a_damaged_bundle_cannot_be_signed(copy):
    with (copy / "weights.safetensors").open("ab") as file:
        file.write(b"x")
    done = signed(copy)
    assert done.exit_code == 2 and "changed or is damaged" in " ".join(done.stderr.split())
    assert not (copy / "sign-offs.jsonl").exists()


def test_a_sign_off_is_given_as_data(copy):
    found = json.loads(signed(copy, "--json").stdout)
    assert found["number"] == 1 and found["weights_sha256"] == load_bundle().sha256


def test_what_people_say_goes_into_the_card_and_the_page(copy, tmp_path):
    about = tmp_path / "about.toml"
    about.write_text('funding = "A grant."\n')
    done = call("describe", copy, "--about", about)
    assert done.exit_code == 0, done.output
    assert "**44 Funding.** A grant." in (copy / "MODEL_CARD.md").read_text()
    assert call("verify", copy).exit_code == 0
    about.write_text("colour = 'red'\n")
    done = call("describe", copy, "--about", about)
    assert done.exit_code == 2 and "colour is unknown" in done.stderr


@pytest.mark.parametrize(
    ("to", "says"), [("nnunet", "takes data"), ("tflite", "none of onnx, monai")]
)
def test_formats_that_there_are_not_are_explained(tmp_path, to, says):
    done = call("export", "default", tmp_path / "out", "--to", to)
    assert done.exit_code == 2 and says in done.stderr


@pytest.mark.parametrize(("to", "name"), [("onnx", "network.onnx"), ("monai", "folder")])
def test_a_model_is_written_for_others_once(tmp_path, to, name):
    pytest.importorskip("torch")
    done = call("export", "default", tmp_path / name, "--to", to)
    assert done.exit_code == 0 and f"phantom-8 is in {tmp_path / name}." in done.stdout.replace(
        "\n", ""
    )
    done = call("export", "default", tmp_path / name, "--to", to)
    assert done.exit_code == 2 and "there already" in done.stderr
