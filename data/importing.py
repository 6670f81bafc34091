"""From annotations of any format to a dataset folder: all of it, or nothing.

Everything is written to a folder beside the new one, which takes its place at the end; an existing
one gets its new files first and its new list last, at once. File names are hashes of the content.
"""

import csv
import io
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.cases import DATALIST, read_item
from data.fields import CasesError, items
from data.importers.annotation import Annotation, Fault
from data.importers.formats import Format, choose
from data.importers.labels import counted, known_labels, label_image, problems, unknown_names
from data.importers.outcome import LISTED, Imported, ImportFailedError, Wishes, told
from data.importers.patients import Rule, RuleError, patient_rule, pseudonym
from data.importers.pictures import Library, Picture, PictureError, walk

__all__ = ["LISTED", "ImportFailedError", "Imported", "Wishes", "import_dataset", "told"]

MAPPING_COLUMNS = ("image", "label", "frame", "patient", "original", "original_patient")


def import_dataset(
    source: Path, out: Path, wishes: Wishes, note: Callable[[int], None] = lambda _: None
) -> Imported:
    """Import a file or a folder of annotations into the dataset folder `out`.

    `note` hears how many annotations were read. Raises ImportFailedError with all faults, and then
    `out` is as it was; FormatError, MappingError, RuleError, MissingPackageError for what can be
    told before; OSError where nothing can be written.
    """
    before = _before(out, wishes.append)
    files = walk(source)
    format_, found = choose(wishes.format, files)
    rule = patient_rule(wishes.patient)
    root = wishes.images or (source if source.is_dir() else source.parent)
    library = Library(root, files=None if wishes.images or not source.is_dir() else files)
    known = known_labels({**dict(format_.meaning), **wishes.mapping}, wishes.labels)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        work = _Work(Path(folder) / "new", format_, wishes, rule, known, out, before)
        for number, one in enumerate(_annotations(format_, library, found, wishes), 1):
            work.take(one)
            note(number)
        result = work.result()
        _put_in_place(work, out, before)
        if wishes.listing is not None:
            _write_listing(wishes.listing, work.listing, wishes.append)
    return result


def _annotations(
    format_: Format, library: Library, found: list[Path], wishes: Wishes
) -> Iterator[Annotation | Fault]:
    yield from format_.reader.read(library, found)
    if format_.listed:
        return
    for path in library.unused(found):
        name = library.name(path)
        if not wishes.empty:  # only counted, so nobody needs to open it
            yield Annotation(name, Picture(name, 0, 0, 1, ".png"), ())
            continue
        try:
            yield Annotation(name, library.open(path), ())
        except PictureError as error:
            yield Fault(name, str(error))


@dataclass(frozen=True)
class _Drawn:
    """Who drew on a picture, what the picture was called, and the label image as PNG if known."""

    annotator: str | None
    name: str
    label: bytes | None = field(repr=False)


class _Work:
    """An import under way: the files in its folder, and the items of its list."""

    def __init__(
        self,
        folder: Path,
        format_: Format,
        wishes: Wishes,
        rule: Rule,
        known: tuple[str, ...],
        out: Path,
        before: list[dict[str, Any]],
    ) -> None:
        self.folder, self.format, self.wishes, self.rule = folder, format_, wishes, rule
        self.known = known
        self.mapping = {**dict(format_.meaning), **wishes.mapping}
        self.items: list[dict[str, Any]] = []
        self.listing: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.names: Counter[str] = Counter()
        self.without = self.empty = self.again = self.unscaled = self.identified = 0
        self.same: list[str] = []
        self._there: dict[tuple[str, int], list[_Drawn]] = {}
        for item in before:
            place = (str(item.get("image")), int(item.get("frame", 1)))
            drawn = _Drawn(item.get("annotator"), str(out / str(item.get("image"))), None)
            self._there.setdefault(place, []).append(drawn)
        for name in ("images", "labels"):
            (folder / name).mkdir(parents=True)

    def take(self, one: Annotation | Fault) -> None:
        """Write one annotation, or keep what is wrong with it."""
        if isinstance(one, Fault):
            self.faults.append(one)
            return
        self.names += counted(one.layers)
        if wrong := problems(one.layers, self.mapping):
            self.faults += [Fault(one.where, message) for message in wrong]
            return
        shape = (one.picture.rows, one.picture.columns)
        label = label_image(one.layers, self.mapping, shape)
        if not label.any():
            # A name that is not mapped yet is told at the end, and makes it no empty one.
            if any(layer.name not in self.mapping for layer in one.layers):
                return
            self.without += 1
            if not self.wishes.empty:
                return
            self.empty += 1
        try:
            self._write(one, label)
        except (PictureError, RuleError) as error:
            self.faults.append(Fault(one.where, str(error)))

    def _write(self, one: Annotation, label: NDArray[np.uint8]) -> None:
        picture, wishes = one.picture, self.wishes
        patient = self.rule(one)
        named = None
        if patient is not None:
            named = patient if wishes.plain else pseudonym(patient, wishes.key)
        annotator = wishes.annotator or one.annotator
        frame = one.frame
        if frame is None:
            frame = 1
            if picture.frames > 1:
                raise PictureError(
                    f"{picture.name} has {picture.frames} frames, and nothing says which of them "
                    "this is. Name a folder with single pictures: --images."
                )
        digest = picture.digest()
        image = f"images/{digest}{picture.suffix}"
        there = self._there.setdefault((image, frame), [])
        content = _png(label)
        for other in there:
            if other.annotator == annotator:
                if content == other.label:
                    self.same.append(f"{one.where} ({other.name})")
                    return
                by = f" by {annotator}" if annotator else ""
                raise PictureError(
                    f"frame {frame} of {picture.name} is the same picture as {other.name}, and is "
                    f"drawn differently{by}. Take one out; if two readers drew it, import each by "
                    "itself: --annotator NAME --append."
                )
        self.again += bool(there)
        number = len(there)
        drawn = f"labels/{digest}-{frame:04d}{f'-{number + 1}' if number else ''}.png"
        if not (self.folder / image).exists():
            picture.write(self.folder / image)
        (self.folder / drawn).write_bytes(content)
        there.append(_Drawn(annotator, picture.name, content))
        spacing = None
        if not picture.calibrated:
            spacing = one.spacing_mm or picture.spacing_mm or wishes.spacing_mm
            self.unscaled += spacing is None
        self.identified += picture.patient is not None
        item: dict[str, Any] = {"image": image, "label": drawn, "frame": frame}
        item["spacing"] = None if spacing is None else list(spacing)
        if named is not None:
            item["patient"] = named
        item["source"] = self.format.name
        if annotator is not None:
            item["annotator"] = annotator
        item["labels"] = list(self.known)
        self.items.append(item)
        row = (image, drawn, frame, named or "", picture.name, patient or "")
        self.listing.append(dict(zip(MAPPING_COLUMNS, row, strict=True)))

    def result(self) -> Imported:
        """Return what came of it. Raises ImportFailedError if that is nothing, or not all."""
        if message := unknown_names(self.names, self.mapping):
            raise ImportFailedError(message, tuple(self.faults))
        if self.faults and not self.wishes.skip_faulty:
            raise ImportFailedError(
                f"{told(self.faults)}\nNothing was imported. Mend them, or leave them out: "
                "--skip-faulty.",
                tuple(self.faults),
            )
        if not self.items:
            why = f" {self.without} pictures have nothing drawn on them." if self.without else ""
            faults = f"\n{told(self.faults)}" if self.faults else ""
            raise ImportFailedError(
                f"there is nothing to import.{why} If they show no endometrium, take them in as "
                f"empty: --empty.{faults}",
                tuple(self.faults),
            )
        named = {item["patient"] for item in self.items if "patient" in item}
        return Imported(
            format=self.format.name,
            items=len(self.items),
            patients=len(named),
            unnamed=sum("patient" not in item for item in self.items),
            without=self.without,
            empty=self.empty,
            again=self.again,
            same=tuple(self.same),
            unscaled=self.unscaled,
            identified=self.identified,
            names=dict(self.names),
            unused=tuple(n for n in self.wishes.mapping if n not in self.names),
            faults=tuple(self.faults),
        )


def _png(label: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(label).save(buffer, "PNG")
    return buffer.getvalue()


def _before(out: Path, append: bool) -> list[dict[str, Any]]:
    """Return the items that are in `out` already. Raises ImportFailedError if it is in the way."""
    if (out / DATALIST).is_file():
        if not append:
            raise ImportFailedError(f"{out} holds a data set. Add to it: --append.")
        try:
            listed = items(out / DATALIST, "items")
            for where, item in listed:
                read_item(out, where, item)
            return [item for _, item in listed]
        except CasesError as error:
            raise ImportFailedError(str(error)) from None
    if append:
        raise ImportFailedError(f"{out} holds no {DATALIST} to append to. Leave out --append.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ImportFailedError(f"{out} is there and not empty. Choose a new folder.")
    return []


def _put_in_place(work: _Work, out: Path, before: list[dict[str, Any]]) -> None:
    """Move the new files to where they belong, and write the list last."""
    listed = json.dumps({"items": before + work.items}, indent=1, ensure_ascii=False) + "\n"
    (work.folder / DATALIST).write_text(listed, encoding="utf-8")
    if not out.exists():
        work.folder.rename(out)
        return
    for name in ("images", "labels"):
        (out / name).mkdir(exist_ok=True)
        for path in sorted((work.folder / name).iterdir()):
            path.replace(out / name / path.name)
    (work.folder / DATALIST).replace(out / DATALIST)


def _write_listing(path: Path, rows: list[dict[str, Any]], append: bool) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, MAPPING_COLUMNS, lineterminator="\n")
    more = append and path.exists()
    if not more:
        table.writeheader()
    table.writerows(rows)
    with path.open("a" if more else "w", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())
