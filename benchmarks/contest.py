"""nnU-Net v2 against a bundle of ours: the same split, the same wall time, the same judge.

    python -m benchmarks.contest DATASET WORK --nnunet ENVIRONMENT --minutes 12 [--bundle BUNDLE]

DATASET holds train, validation and test, each a data set folder. nnU-Net is no dependency of ours
and lives in an environment of its own:

    python3 -m venv ENVIRONMENT
    ENVIRONMENT/bin/pip install torch==2.13.0 nnunetv2

The steps, each of which `--steps` can name alone:

- export: `data.nnunet` writes WORK/raw.
- plan: `nnUNetv2_plan_and_preprocess`; the time it takes is given to nnU-Net for nothing.
- train: `nnUNetv2_train` on the fold that is the validation folder, with `TRAINER` below.
- predict: `nnUNetv2_predict` of the test pictures, last weights, mirrored as nnU-Net does.
- score: `benchmarks.nnunet_score`, ours and theirs on the same pixels.

What is fair. nnU-Net's schedule is 1000 epochs of 250 batches, which takes days on two cores; cut
off after minutes it would never leave its highest learning rate, and it saves only every 50 epochs.
`TRAINER` therefore keeps everything of nnU-Net's training but the clock: its polynomial learning
rate falls with the share of the time that is used instead of the share of the epochs, an epoch has
25 batches, validation takes 2, and the weights at the end are kept. The clock starts when training
does, after the preprocessing and the imports; ours counts all of `endometer train`.

nnU-Net plans for a graphics card of 8 GB and puts 8 pictures of 500 pixels into a batch, which is
slow on two cores. `--gpu-memory-target 1` (nnU-Net's own option) makes it plan smaller batches and
patches, of which far more fit into the time. Both are worth running; the better one is the one to
be compared with.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from data.nnunet import SPLITS, write_nnunet

STEPS = ("export", "plan", "train", "predict", "score")
TRAINER_NAME = "TimedTrainer"
MINUTES, EPOCH, VALIDATION = "CONTEST_MINUTES", "CONTEST_ITERATIONS", "CONTEST_VALIDATION"
# Written into nnU-Net's own package of trainers, where it is found first. nnUNet_extTrainer would
# be tidier, but imports all its trainers before, one of which needs a torchvision that fits torch.
TRAINER = f'''"""nnU-Net's own trainer with a clock: see benchmarks/contest.py of endometer."""

import os
from time import monotonic

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class {TRAINER_NAME}(nnUNetTrainer):
    # nnU-Net looks its arguments up by name: *args will not do.
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.seconds = 60 * float(os.environ["{MINUTES}"])
        self.num_iterations_per_epoch = int(os.environ["{EPOCH}"])
        self.num_val_iterations_per_epoch = int(os.environ["{VALIDATION}"])
        self.steps = 0

    def used(self):
        return (monotonic() - self.began) / self.seconds

    def run_training(self):
        self.began = monotonic()
        self.on_train_start()
        while self.used() < 1:
            self.on_epoch_start()
            self.on_train_epoch_start()
            outputs = []
            while len(outputs) < self.num_iterations_per_epoch and (self.used() < 1 or not outputs):
                rate = self.initial_lr * max(0.0, 1 - self.used()) ** 0.9
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                outputs.append(self.train_step(next(self.dataloader_train)))
                self.steps += 1
            self.on_train_epoch_end(outputs)
            with torch.no_grad():
                self.on_validation_epoch_start()
                found = [
                    self.validation_step(next(self.dataloader_val))
                    for _ in range(self.num_val_iterations_per_epoch)
                ]
                self.on_validation_epoch_end(found)
            self.on_epoch_end()
        self.print_to_log_file(f"{{self.steps}} batches in {{monotonic() - self.began:.0f}} s")
        self.on_train_end()

    def perform_actual_validation(self, save_probabilities=False):
        pass  # the test pictures are predicted and judged apart
'''


def environment(work: Path, given: argparse.Namespace) -> dict[str, str]:
    """Return the environment variables of nnU-Net's commands."""
    return {
        "nnUNet_raw": str(work / "raw"),
        "nnUNet_preprocessed": str(work / "preprocessed"),
        "nnUNet_results": str(work / "results"),
        "nnUNet_n_proc_DA": "1",  # two cores: one computes, one prepares pictures
        "nnUNet_compile": "false",
        "OMP_NUM_THREADS": str(given.threads),
        MINUTES: str(given.minutes),
        EPOCH: str(given.iterations),
        VALIDATION: "2",
    }


def commands(work: Path, given: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Yield every step after the export with its command."""
    tools, number = given.nnunet / "bin", str(given.number)
    plans = "nnUNetPlans"
    smaller = []
    if given.gpu_memory_target is not None:
        plans = f"nnUNetPlans{given.gpu_memory_target:g}G".replace(".", "_")
        smaller = ["-gpu_memory_target", f"{given.gpu_memory_target:g}"]
        smaller += ["-overwrite_plans_name", plans]
    yield (
        "plan",
        [
            f"{tools}/nnUNetv2_plan_and_preprocess",
            *("-d", number, "-c", "2d", "-np", "1", "-npfp", "1", "--verify_dataset_integrity"),
            *smaller,
        ],
    )
    fitting = ["-tr", TRAINER_NAME, "-p", plans, "-device", given.device]
    yield "train", [f"{tools}/nnUNetv2_train", number, "2d", "0", *fitting]
    raw = work / "raw" / f"Dataset{given.number:03d}_{given.name}"
    predictions = work / "predictions" / plans
    yield (
        "predict",
        [
            f"{tools}/nnUNetv2_predict",
            *("-i", f"{raw}/imagesTs", "-o", str(predictions), "-d", number, "-c", "2d"),
            *("-f", "0", "-npp", "1", "-nps", "1", *fitting),
        ],
    )
    ours = [] if given.bundle is None else ["--bundle", str(given.bundle)]
    judge = [sys.executable, "-m", "benchmarks.nnunet_score"]
    rows = ["--out", f"{predictions}.json"]
    yield "score", [*judge, str(predictions), str(raw), str(given.dataset), *ours, *rows]


def prepare(work: Path, given: argparse.Namespace) -> None:
    """Write the data set, and the split and the trainer where nnU-Net looks for them."""
    made = write_nnunet(given.dataset, work / "raw", number=given.number, name=given.name)
    print(f"{len(made.cases)} cases in {made.folder}, {len(made.left_out)} left out")
    preprocessed = work / "preprocessed" / made.folder.name
    preprocessed.mkdir(parents=True, exist_ok=True)
    (preprocessed / SPLITS).write_bytes((made.folder / SPLITS).read_bytes())
    where = "import nnunetv2.training.nnUNetTrainer as here; print(here.__path__[0])"
    found = subprocess.run(
        [given.nnunet / "bin" / "python", "-c", where], check=True, capture_output=True, text=True
    )
    (Path(found.stdout.strip()) / f"{TRAINER_NAME}.py").write_text(TRAINER, "utf-8")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--nnunet", type=Path, required=True, help="nnU-Net's virtual environment")
    parser.add_argument("--minutes", type=float, default=12.0, help="of nnU-Net's training")
    parser.add_argument("--bundle", type=Path, help="ours, to be judged on the same pixels")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--gpu-memory-target", type=float, help="GB that nnU-Net plans for")
    parser.add_argument("--iterations", type=int, default=25, help="batches of an epoch")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1, help="of nnU-Net's arithmetic")
    parser.add_argument("--number", type=int, default=501)
    parser.add_argument("--name", default="Contest")
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")
    given = parser.parse_args(argv)
    if "export" in given.steps and not given.dry_run:
        given.work.mkdir(parents=True, exist_ok=True)
        prepare(given.work, given)
    own = environment(given.work, given)
    for step, command in commands(given.work, given):
        if step not in given.steps:
            continue
        shown = "" if step == "score" else " ".join(f"{n}={v}" for n, v in own.items()) + " "
        print(f"[{step}] {shown}{shlex.join(command)}", flush=True)
        if given.dry_run:
            continue
        began = time.monotonic()
        done = subprocess.run(command, env=os.environ | own, check=False)
        print(f"[{step}] {time.monotonic() - began:.0f} s", flush=True)
        if done.returncode:
            sys.exit(f"{step} ended with status {done.returncode}; its message is above.")


if __name__ == "__main__":
    main()
