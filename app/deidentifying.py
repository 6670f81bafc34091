"""The command line: clips that say no longer whose they are."""

import csv
import json
import os
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.base import FAILED, end, read_key, usage

if TYPE_CHECKING:
    from imaging.deidentify.plan import Done

commands = typer.Typer()
INSIDE = ("hold", "blank")


@commands.command()
def deidentify(  # noqa: PLR0913, PLR0917 - a command line's options are its interface
    source: Annotated[
        Path,
        typer.Argument(metavar="SRC", help="A DICOM file, a folder of any depth, a zip, DICOMDIR."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the new files.")],
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Key of 16 bytes or more, kept apart from OUT: with the same key the same "
            "patient gets the same id in every run. Without it a key is made and thrown away.",
        ),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write a table of old and new ids, beside the key. It identifies patients.",
        ),
    ] = None,
    inside: Annotated[
        str,
        typer.Option(
            metavar="hold|blank",
            help="What to do about writing in the ultrasound image: hold the clip back for a "
            "person to look at, or blank what was found.",
        ),
    ] = INSIDE[0],
    looked_at: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Lines of `sha256sum` of clips in whose images a person found no writing: they "
            "are not held back for it.",
        ),
    ] = None,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Tell what would happen and write nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per file instead of words.")
    ] = False,
) -> None:
    """Make copies of clips without identity: header, burned-in text, dates, UIDs.

    For instance:  [bold]endometer deidentify archive/ shared/ --key ../key[/bold]

    Everything outside the ultrasound image becomes black on every frame; scale and coordinates
    stay. Clips with writing in the image, and pages of writing, are held back. Exit status: 0 every
    file was written or held back with a reason, 1 one could not be read or written, 2 wrong usage.
    """
    if inside not in INSIDE:
        raise usage(f"--inside {inside!r} is none of {', '.join(INSIDE)}.")
    _check_places(source, out, key, mapping)
    secret = read_key(key, "--key")
    cleared = _read_looked_at(looked_at)

    import secrets

    from data.discover import Found, Skipped, discover
    from imaging.deidentify.plan import Action, Deidentifier, Done
    from imaging.deidentify.pseudonyms import KEY_BYTES, Pseudonyms

    pseudonyms = Pseudonyms(secret or secrets.token_bytes(KEY_BYTES))
    blank = inside == "blank"
    work = Deidentifier(pseudonyms, None if what_if else out, blank_inside=blank, looked_at=cleared)
    counts: Counter[str] = Counter()
    others = 0
    rows: list[dict[str, str]] = []
    try:
        for item in discover([source], leave_out=out):
            if isinstance(item, Skipped):
                others += 1
            if not isinstance(item, Found):
                continue
            if item.problem is not None:
                done = Done(Action.FAILED, item.problem)
            else:
                done = work.process(item.source)
            counts[done.action] += 1
            _tell(item.source.name, done, what_if=what_if, as_json=as_json)
            if done.action is Action.WRITTEN:
                rows.append(_row(item.source.name, done))
    finally:
        if mapping is not None and rows and not what_if:
            _write_mapping(mapping, rows)
    if not counts:
        raise end(f"there is no DICOM file in {source}.")
    if not as_json:
        typer.echo(_summary(counts, others, None if what_if else out))
    if counts[Action.FAILED]:
        raise typer.Exit(FAILED)


def _check_places(source: Path, out: Path, key: Path | None, mapping: Path | None) -> None:
    """Raise what ends a call that would mix what has to be kept apart."""
    if not source.exists() and not any(parent.is_file() for parent in source.parents):
        raise usage(f"there is no {source}.")
    place = out.resolve()
    if out.exists() and not out.is_dir():
        raise usage(f"{out} is no folder.")
    if place == source.resolve() or source.resolve() in place.parents:
        raise usage(
            "OUT is SRC, or lies in it, where the next run would take the new files for old ones; "
            "name a folder of its own."
        )
    for option, path in (("--key", key), ("--mapping", mapping)):
        if path is not None and place in path.resolve().parents:
            raise usage(f"{option} {path} lies in OUT; it tells who is who and is kept apart.")
    if mapping is None:
        return
    if key is None:
        raise usage("--mapping needs --key: without a key who is who is forgotten on purpose.")
    if mapping.resolve().parent != key.resolve().parent:
        raise usage(f"--mapping {mapping} has to lie beside the key, in {key.parent}.")
    if mapping.resolve() == key.resolve():
        raise usage("--mapping and --key are the same file.")


def _read_looked_at(path: Path | None) -> frozenset[str]:
    """Return the SHA-256 at the beginning of each line; raise what ends a call with others."""
    if path is None:
        return frozenset()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise usage(f"--looked-at {path} cannot be read: {error.strerror}.") from None
    found = set()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        digest = line.split()[0].lower().removeprefix("\\")  # sha256sum marks odd names so
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise usage(f"--looked-at {path}, line {number}: no SHA-256 as sha256sum prints it.")
        found.add(digest)
    return frozenset(found)


def _tell(name: str, done: "Done", *, what_if: bool, as_json: bool) -> None:
    if as_json:
        facts = {
            "file": name,
            "action": str(done.action),
            "why": done.why,
            "new_file": done.name,
            "frames": done.frames,
            "transfer_syntax": done.syntax,
            "kept_share": round(done.kept, 4),
            "frames_with_writing_blanked": done.inside,
        }
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in name)
    if done.why is not None:
        typer.echo(f"{done.action}: {shown}: {done.why}", err=not what_if)
    elif what_if:
        inside = f", writing within it on {done.inside} frames as well" if done.inside else ""
        typer.echo(
            f"would be written: {shown} as {done.name}: {done.frames} frames, {done.syntax}, "
            f"all but {done.kept:.0%} of the frame black{inside}"
        )


def _summary(counts: Counter[str], others: int, out: Path | None) -> str:
    there = f"files are in {out}" if out else "files would be written"
    words = [f"{counts['written']} {there}"]
    words += [
        f"{counts[action]} {said}"
        for action, said in (
            ("same", "were there twice"),
            ("held", "held back for a person to look at"),
            ("failed", "failed"),
        )
        if counts[action]
    ]
    if others:
        words.append(f"{others} are no images")
    return ", ".join(words) + "."


def _row(name: str, done: "Done") -> dict[str, str]:
    row = {"old_file": name, "new_file": done.name or "", "days": str(done.days)}
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        row |= {f"old_{keyword}": done.old[keyword], f"new_{keyword}": done.new[keyword]}
    return row


def _write_mapping(path: Path, rows: list[dict[str, str]]) -> None:
    """Write the table whole or not at all, for its owner's eyes only."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise end(f"{path} cannot be written: {error.strerror or error}.") from None
