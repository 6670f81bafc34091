"""The formats of annotations: this list drives the command line, the documentation and the tests.

It is light: the reader of a format is imported when it is needed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from data.importers.annotation import Annotation, Fault
    from data.importers.pictures import Library

AUTO = "auto"


class FormatError(Exception):
    """The format of a source is not known; the message says what was found."""


class Reader(Protocol):
    """What the module of a format offers."""

    def among(self, files: Sequence[Path]) -> list[Path]:
        """Return those of some files that it would read as annotations."""

    def read(self, library: "Library", files: Sequence[Path]) -> "Iterator[Annotation | Fault]":
        """Yield an Annotation or a Fault for each picture, never raising for what is in a file.

        Raises MissingPackageError if it needs a package that is not there.
        """


@dataclass(frozen=True)
class Format:
    """One way of keeping annotations.

    `what` it is, `names` what a label is called by, `module` its reader. `listed`: the annotation
    lists its pictures, so that others in the folder are no part of it. `package`: what it needs
    beyond the base. `meaning` of names, where the format itself says so.
    """

    name: str
    what: str
    names: str
    module: str
    listed: bool = True
    package: str | None = None
    meaning: tuple[tuple[str, str], ...] = ()

    @property
    def reader(self) -> Reader:
        """The module that reads it."""
        return cast(Reader, import_module(f"data.importers.{self.module}"))


FORMATS: tuple[Format, ...] = (
    Format(
        "masks",
        "PNG or TIFF label images: folders `images/` and `masks/` (or `labels/`), "
        "`x.png` with `x_mask.png` or `x-label.png`, nnU-Net's folders",
        "its value, `1`, or its colour, `#ff0000`; 0 and black are background",
        "masks",
        listed=False,
    ),
    Format(
        "coco",
        "COCO JSON: polygons, run lengths, compressed or not",
        "the name of its category",
        "coco",
        package="pycocotools",
    ),
    Format(
        "labelme",
        "LabelMe JSON, one file a picture: polygons and masks; the picture inside or beside it",
        "the label of the shape",
        "labelme",
        listed=False,
    ),
    Format(
        "cvat",
        '"CVAT for images 1.1" XML: polygons and masks',
        "the label of the shape",
        "cvat",
    ),
    Format(
        "slicer",
        "NRRD, NIfTI and MetaImage of 3D Slicer and ITK-SNAP: `.seg.nrrd` segmentations and label "
        "volumes, brought to the picture's grid by their place in space",
        "the name of the segment, else its value",
        "volumes",
        listed=False,
    ),
    Format(
        "dicomseg",
        "DICOM SEG and label maps; images are found by their SOP instance UID and frame",
        "the label of the segment",
        "dicomseg",
        listed=False,
    ),
    Format(
        "review",
        "`corrections.json`: what readers drew in `endometer review`",
        "`endometrium` and `fluid`, which need no --map",
        "review",
        meaning=(("endometrium", "endometrium"), ("fluid", "fluid")),
    ),
)
BY_NAME = {format_.name: format_ for format_ in FORMATS}


def choose(name: str, files: Sequence[Path]) -> tuple[Format, list[Path]]:
    """Return the format and its annotation files among `files`.

    `auto` is the one format that finds any. Raises FormatError if none does, or several.
    """
    if name != AUTO:
        found = BY_NAME[name].reader.among(files)
        if not found and len(files) == 1:
            found = list(files)  # named by the user, whatever it is called
        if not found:
            raise FormatError(
                f"none of the {len(files)} files is an annotation of the format {name}: "
                f"{BY_NAME[name].what}."
            )
        return BY_NAME[name], found
    claims = [(one, found) for one in FORMATS if (found := one.reader.among(files))]
    if len(claims) == 1:
        return claims[0]
    if not claims:
        raise FormatError(
            f"no annotations were found in {len(files)} files. These are read:\n"
            + "\n".join(f"  {one.name}: {one.what}" for one in FORMATS)
        )
    named = ", ".join(f"{one.name} ({len(found)} files)" for one, found in claims)
    raise FormatError(f"several formats were found: {named}. Choose one: --format NAME.")
