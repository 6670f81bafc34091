"""benchmarks.contest with stand-ins for nnU-Net's commands, and its judge."""

import json
import stat
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("monai")

from benchmarks.contest import TRAINER, TRAINER_NAME, main
from benchmarks.nnunet_score import judged, summed
from benchmarks.nnunet_score import main as score
from data.cases import CasesError, read_cases
from data.nnunet import write_nnunet
from data.phantom.collection import write_phantoms
from models.bundle import DEFAULT_BUNDLE, load_bundle
from models.runtime import OpenVinoRuntime
from training.labelmap import label_map, label_scores
from training.metrics import dice

PREDICT = """#!{python}
import json, os, pathlib, shutil, sys
words = dict(zip(sys.argv[1:], sys.argv[2:]))
with open({log!r}, "a") as file:
    own = {{n: v for n, v in os.environ.items() if n.startswith(("nnUNet", "CONTEST", "OMP"))}}
    file.write(json.dumps([pathlib.Path(sys.argv[0]).name, sys.argv[1:], own]) + "\\n")
if "predict" in sys.argv[0]:
    out = pathlib.Path(words["-o"])
    out.mkdir(parents=True)
    for path in pathlib.Path(words["-i"]).parent.glob("labelsTs/*"):
        shutil.copy(path, out / path.name)
"""


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    for part, seed in (("train", 1), ("test", 80)):
        write_phantoms(folder / part, n=2, seed=seed, renderer="random")
    return folder


@pytest.fixture
def environment(tmp_path):
    """An environment whose nnU-Net writes down how it was called and predicts the truth."""
    tools = tmp_path / "env" / "bin"
    package = tmp_path / "env" / "nnunetv2" / "training" / "nnUNetTrainer"
    tools.mkdir(parents=True)
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    log = str(tmp_path / "calls.jsonl")
    scripts = dict.fromkeys(
        ("nnUNetv2_plan_and_preprocess", "nnUNetv2_train", "nnUNetv2_predict"),
        PREDICT.format(python=sys.executable, log=log),
    )
    scripts["python"] = f'#!/bin/sh\nPYTHONPATH="{tmp_path}/env" exec "{sys.executable}" "$@"\n'
    for name, text in scripts.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755 | stat.S_IXUSR)
    return tmp_path / "env"


def test_every_step_is_called_as_nnu_net_wants_it(split, environment, tmp_path, capfd):
    work = tmp_path / "work"
    main(
        [
            str(split),
            str(work),
            "--nnunet",
            str(environment),
            "--minutes",
            "3",
            "--gpu-memory-target",
            "1",
        ]
    )
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    plan, train, predict = calls
    assert [call[0] for call in calls] == [
        "nnUNetv2_plan_and_preprocess",
        "nnUNetv2_train",
        "nnUNetv2_predict",
    ]
    assert "-gpu_memory_target" in plan[1] and train[1][:3] == ["501", "2d", "0"]
    for call in (train, predict):
        assert call[1][call[1].index("-tr") + 1] == TRAINER_NAME
        assert call[1][call[1].index("-p") + 1] == "nnUNetPlans1G"
        assert call[1][call[1].index("-device") + 1] == "cpu"
    assert train[2]["CONTEST_MINUTES"] == "3.0" and train[2]["nnUNet_raw"] == str(work / "raw")
    trainer = environment / "nnunetv2" / "training" / "nnUNetTrainer" / f"{TRAINER_NAME}.py"
    assert trainer.read_text() == TRAINER
    compile(TRAINER, "trainer", "exec")
    splits = work / "preprocessed" / "Dataset501_Contest" / "splits_final.json"
    assert len(json.loads(splits.read_text())) == 2
    assert "nnunet 1.000" in capfd.readouterr().out  # the stand-in predicted the truth


def test_a_dry_run_only_prints(split, tmp_path, capsys):
    main([str(split), str(tmp_path / "work"), "--nnunet", "/env", "--dry-run"])
    said = capsys.readouterr().out
    assert [line.split("]")[0] for line in said.splitlines()] == [
        "[plan",
        "[train",
        "[predict",
        "[score",
    ]
    assert not (tmp_path / "work").exists()


def test_a_step_that_fails_ends_the_contest(split, environment, tmp_path):
    (environment / "bin" / "nnUNetv2_train").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(SystemExit, match="train ended with status 3"):
        main([str(split), str(tmp_path / "work"), "--nnunet", str(environment)])


@pytest.fixture(scope="module")
def exported(split, tmp_path_factory):
    return write_nnunet(split, tmp_path_factory.mktemp("raw")).folder


def test_both_are_judged_on_the_same_pixels_as_evaluate_does(split, exported, tmp_path):
    truth = {}
    for path in (exported / "labelsTs").iterdir():
        truth[path.stem] = np.asarray(Image.open(path))
        Image.fromarray(np.roll(truth[path.stem], 4, 0)).save(tmp_path / path.name)
    rows = judged(tmp_path, exported, split, DEFAULT_BUNDLE)
    bundle = load_bundle()
    runtime = OpenVinoRuntime(bundle)
    for row, case in zip(rows, read_cases(split / "test"), strict=True):
        true = truth[row["case"]] == 1
        assert row["endometrium_nnunet"] == pytest.approx(dice(np.roll(true, 4, 0), true))
        scores = label_scores(case, bundle, runtime, ["endometrium"])
        assert row["endometrium_ours"] == pytest.approx(scores["endometrium"])
        assert row["endometrium_ours"] > 0.85
    table = summed(rows)
    assert set(table["endometrium"]) == {"nnunet", "ours", "ours - nnunet"}
    ours, theirs = (table["endometrium"][name].value for name in ("ours", "nnunet"))
    assert table["endometrium"]["ours - nnunet"].value == pytest.approx(ours - theirs)
    assert table["mean of labels"]["ours"].value == pytest.approx(ours)


def test_a_prediction_that_is_missing_or_of_another_size_is_named(
    split, exported, tmp_path, capsys
):
    with pytest.raises(CasesError, match="predicted nothing"):
        judged(tmp_path, exported, split, None)
    for path in (exported / "labelsTs").iterdir():
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / path.name)
    with pytest.raises(SystemExit):
        score([str(tmp_path), str(exported), str(split)])
    assert "has shape (5, 5)" in capsys.readouterr().err


def test_a_picture_of_nothing_has_no_labels(tmp_path):
    Image.fromarray(np.zeros((80, 90), np.uint8)).save(tmp_path / "black.png")
    Image.fromarray(np.zeros((80, 90), np.uint8)).save(tmp_path / "label.png")
    items = [{"image": "black.png", "label": "label.png", "spacing": [0.2, 0.2]}]
    (tmp_path / "dataset.json").write_text(json.dumps({"items": items}))
    bundle = load_bundle()
    (case,) = read_cases(tmp_path)
    assert not label_map(case, bundle, OpenVinoRuntime(bundle)).any()
