"""What the terminal shows of a training run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from training.train import Moment


@contextmanager
def watching(stream: TextIO) -> Iterator[Callable[["Moment"], None]]:
    """Show a bar on `stream`, or lines where it is no terminal; yields what hears every step."""
    screen = Console(file=stream, markup=False, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    live = stream.isatty()
    with Progress(*columns, console=screen, disable=not live) as bar:
        task = bar.add_task("preparing", total=None)

        def watch(moment: "Moment") -> None:
            bar.update(task, completed=moment.step, total=moment.steps)
            fold = f"fold {moment.fold} of {moment.folds}, " if moment.folds else ""
            if moment.step == 1:
                bar.update(task, description=f"{fold}training")
            if moment.loss is not None:
                bar.update(task, description=f"{fold}loss {moment.loss:.3f}")
            early = moment.last and moment.step < moment.steps
            if moment.validation is not None or early or (moment.loss is not None and not live):
                screen.print(in_words(moment), soft_wrap=True)

        yield watch


def in_words(moment: "Moment") -> str:
    """Return a line: the step, and the loss and what validation found where they are there."""
    parts = [f"step {moment.step} of {moment.steps}"]
    if moment.folds:
        parts.insert(0, f"fold {moment.fold} of {moment.folds}")
    if moment.loss is not None:
        parts.append(f"loss {moment.loss:.4f}")
    found = moment.validation
    if found is not None:
        numbers = {
            "Dice": (found.dice, "{:.3f}"),
            "thickness MAE": (found.mae_mm, "{:.2f} mm"),
            "refused": (found.refused, "{:.0%}"),
            "invented": (found.invented, "{:.0%}"),
        }
        known = [f"{n} {form.format(v)}" for n, (v, form) in numbers.items() if v is not None]
        parts.append("validation: " + ", ".join(known))
    if moment.last and moment.step < moment.steps:
        parts.append("ended early: validation gets no better")
    return ", ".join(parts)
