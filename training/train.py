"""Train the U-Net on phantoms drawn on the fly: `python -m training.train CONFIG OUT`.

Checkpoints in OUT let an interrupted run continue where it was; pictures are numbered, so a
continued run sees the ones that an unbroken run would have seen.
"""

import argparse
import csv
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from monai.losses import DiceCELoss
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from data.phantom.render import LABELS
from data.phantom.stream import sample
from imaging.grid import GridSpec
from models.network import Architecture, build_network
from training.config import Config, read_config

log = logging.getLogger(__name__)
Batch = tuple[torch.Tensor, torch.Tensor]


def averaged_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return the running average of the weights from a checkpoint, under the network's names."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["average"]
    prefix = "module."
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


class PhantomDataset(Dataset[Batch]):
    """Pictures number `start` to `stop` of the configured stream, as (pixels, soft labels)."""

    def __init__(self, config: Config, start: int, stop: int) -> None:
        """Remember the range; pictures are drawn when asked for."""
        self.config, self.start, self.stop = config, start, stop
        self.spec = GridSpec(config.grid_size, config.mm_per_px)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return self.stop - self.start

    def __getitem__(self, index: int) -> Batch:
        """Draw one picture."""
        drawn = sample(self.config.seed, self.start + index, self.spec)
        return torch.from_numpy(drawn.pixels), torch.from_numpy(drawn.labels)


def learning_rate(config: Config, step: int) -> float:
    """Linear warm-up, a plateau, and a half cosine to zero over the last share `decay`."""
    warm = max(1, config.steps // 50)
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    falling = round(config.steps * config.decay)
    part = max(0.0, (step - (config.steps - falling)) / falling) if falling else 0.0
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * part))


def batches(config: Config, first_step: int) -> Iterator[Batch]:
    """Yield the batches from `first_step` to the end of the run."""
    dataset = PhantomDataset(config, first_step * config.batch, config.steps * config.batch)
    loader = DataLoader(
        dataset,
        batch_size=config.batch,
        num_workers=config.workers,
        prefetch_factor=4 if config.workers else None,
    )
    yield from loader


def train(config: Config, out: Path, start: Path | None = None) -> Path:
    """Train to the last step, continuing from OUT's checkpoint if there is one.

    `start` is the folder of a finished run whose averaged weights are the first of this one.
    Returns the checkpoint, a state dictionary of tensors only; `log.csv` beside it has the loss.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    torch.manual_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = build_network(Architecture.halving(config.channels), len(LABELS)).to(device)
    if start is not None:
        network.load_state_dict(averaged_weights(start / "checkpoint.pt"))
    average_of = get_ema_multi_avg_fn(config.average_decay)  # type: ignore[no-untyped-call]
    average = AveragedModel(network, multi_avg_fn=average_of)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=1e-4)
    # Soft targets: a pixel that the outline crosses counts by its share of area.
    loss_of = DiceCELoss(
        softmax=True,
        include_background=False,
        batch=True,
        lambda_ce=2.0,
        weight=torch.tensor([1.0, config.endometrium_weight, 1.0, 1.0], device=device),  # LABELS
    )
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first = int(state["step"])
        log.info("continuing at step %d", first)

    # The compiled network shares its weights with `network`, which is what is saved.
    forward = torch.compile(network) if config.compile else network
    started, recent = time.monotonic(), list[float]()
    with (out / "log.csv").open("a", newline="") as file:
        rows = csv.writer(file)
        for step, (pixels, labels) in enumerate(batches(config, first), start=first):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            optimizer.zero_grad(set_to_none=True)
            # Half precision pays on GPUs; many CPUs only emulate it.
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                logits = forward(pixels.to(device))
            loss = loss_of(logits.float(), labels.to(device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            average.update_parameters(network)
            recent.append(float(loss.detach()))
            done = step + 1
            if done % 50 == 0:
                mean = sum(recent) / len(recent)
                rows.writerow([done, f"{mean:.4f}", f"{time.monotonic() - started:.0f}"])
                file.flush()
                log.info("step %d of %d, loss %.4f", done, config.steps, mean)
                recent.clear()
            if done % config.checkpoint_every == 0 or done == config.steps:
                temporary = checkpoint.with_suffix(".part")
                torch.save(
                    {
                        "network": network.state_dict(),
                        "average": average.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "step": done,
                    },
                    temporary,
                )
                temporary.replace(checkpoint)
    return checkpoint


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="TOML file, for instance training/default.toml")
    parser.add_argument("out", type=Path, help="folder for checkpoints and the log")
    parser.add_argument("--start", type=Path, help="folder of a run whose weights to start from")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(read_config(arguments.config), arguments.out, arguments.start)


if __name__ == "__main__":
    main()
