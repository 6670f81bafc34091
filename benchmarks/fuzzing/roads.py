"""The ways of foreign bytes into the program, each up to where the network would begin.

A road takes the bytes of one input and a folder of its own, and returns what came of it in a word.
Errors that the program names are words, too; any other exception is a finding and passes through.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from benchmarks.fuzzing import mutations
from benchmarks.fuzzing.oracle import why_nonsense
from benchmarks.fuzzing.seeds import picture
from data.cases import read_cases
from data.discover import Found, discover
from data.fields import CasesError
from data.importers.annotation import Annotation
from data.importers.formats import BY_NAME
from data.importers.labels import label_image, problems
from data.importers.pictures import Library
from imaging.calibration import Calibration
from imaging.clip import Clip
from imaging.errors import ClipError, NotAnImageError
from imaging.fingerprint import fingerprint
from imaging.mask import MaskError, read_mask
from imaging.scanner_report import read_scanner_report
from imaging.source import Source
from inference.clip import Settings, look_at, scale_of
from models.bundle import DEFAULT_BUNDLE, BundleError, load_bundle

MOST_FOUND = 20  # clips of one container that are opened


class FindingError(Exception):
    """Something that must not be: millimetres from nonsense, a secret in a message."""


@dataclass(frozen=True)
class Kind:
    """A kind of input: its road, how its bytes are mutated, and its share of all inputs."""

    road: Callable[[bytes, Path], str]
    mutations: tuple[mutations.Mutation, ...]
    share: float


def clip(data: bytes, folder: Path) -> str:
    """Measure's road for a file: fingerprint, header, views, calibration, first frame."""
    path = folder / "clip.dcm"
    path.write_bytes(data)
    return _clip(Source(path), data)


def _clip(source: Source, data: bytes | None = None) -> str:
    try:
        fingerprint(source)
        with Clip.open(source) as opened:
            said = _looked_at(opened, data)
    except NotAnImageError as error:
        _checked(error)
        _report(source)
        return "no image"
    except ClipError as error:
        _checked(error)
        return "refused: not read"
    return said


def _looked_at(opened: Clip, data: bytes | None) -> str:
    views, ruler, refusal = look_at(opened, Settings())
    if refusal:
        _checked(refusal.message)
    frame = opened.frame(1)
    if frame.luma.shape != (opened.rows, opened.columns):
        raise FindingError(f"the frame has shape {frame.luma.shape}")
    scale = scale_of(opened, Settings(), ruler)
    scales = [] if refusal else [view.spacing_mm for view in views if view.spacing_mm]
    if isinstance(scale, Calibration):
        scales.append(scale.spacing_mm)
    else:
        _checked(scale.message)
    for spacing in scales:
        of = str(scale.source) if isinstance(scale, Calibration) else "ultrasound_region"
        why = None
        if data is not None:
            why = why_nonsense(data, frame.luma.shape, spacing, of)
        if why:
            raise FindingError(f"millimetres from nonsense: {why}")
    if refusal:
        return f"refused: {refusal.reason}"
    return f"scaled: {scale.source}" if isinstance(scale, Calibration) else f"no mm: {scale.reason}"


def _report(source: Source) -> None:
    try:
        with source.open() as file:
            read_scanner_report(file)
    except ClipError as error:
        _checked(error)


def _checked(said: Exception | str) -> None:
    """Messages hold no names of patients, and no memory ran out behind them."""
    message = str(said)
    if "SECRET" in message:
        raise FindingError("a patient's name in a message")
    if "MemoryError" in message:
        raise FindingError(f"memory ran out: {message[:200]}")


def container(name: str) -> Callable[[bytes, Path], str]:
    """Return the road of a zip or a DICOMDIR, whose clips are read, too."""

    def road(data: bytes, folder: Path) -> str:
        path = folder / name
        path.write_bytes(data)
        before = _names(folder.parent)
        found = [item for item in discover([path]) if isinstance(item, Found)]
        said = "nothing found"
        for item in found[:MOST_FOUND]:
            said = "refused: a problem" if item.problem else _clip(item.source)
            if not item.source.path.resolve().is_relative_to(folder.resolve()):
                raise FindingError("a file outside the folder")
        if _names(folder.parent) != before:
            raise FindingError("something was unpacked beside the folder")
        return said

    return road


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mask(data: bytes, folder: Path) -> str:
    path = folder / "mask.png"
    path.write_bytes(data)
    try:
        read_mask(path)
    except MaskError:
        return "refused"
    return "read"


def drawn(name: str, file: str) -> Callable[[bytes, Path], str]:
    """Return the road of an annotation format, whose picture lies beside it."""

    def road(data: bytes, folder: Path) -> str:
        (folder / file).write_bytes(data)
        _picture(folder / "a.png")
        files = [folder / file, folder / "a.png"]
        reader = BY_NAME[name].reader
        said = "nothing found"
        for one in reader.read(Library(folder, files=files), [folder / file]):
            said = "a fault"
            if isinstance(one, Annotation):
                names = {layer.name: "endometrium" for layer in one.layers}
                if not problems(one.layers, names):
                    label_image(one.layers, names, (one.picture.rows, one.picture.columns))
                said = "an annotation"
        return said

    return road


def dataset(data: bytes, folder: Path) -> str:
    (folder / "dataset.json").write_bytes(data)
    _picture(folder / "a.png")
    try:
        cases = read_cases(folder)
        for case in cases[:MOST_FOUND]:
            if not case.path.resolve().is_relative_to(folder.resolve()):
                raise FindingError("a case outside the folder")
            case.mask()
    except CasesError:
        return "refused"
    return "cases"


def card(data: bytes, folder: Path) -> str:
    (folder / "card.json").write_bytes(data)
    for path in DEFAULT_BUNDLE.iterdir():
        if path.name != "card.json":
            (folder / path.name).symlink_to(path)
    try:
        load_bundle(folder)
    except BundleError:
        return "refused"
    return "a bundle"


def _picture(path: Path) -> None:
    from PIL import Image  # noqa: PLC0415

    if not _PICTURE:
        buffer = BytesIO()
        Image.fromarray(picture(1)).save(buffer, "PNG")
        _PICTURE.append(buffer.getvalue())
    path.write_bytes(_PICTURE[0])


_PICTURE: list[bytes] = []
_TREE = (mutations.tree, mutations.tree, mutations.tree, *mutations.BYTES)
KINDS = {
    "dicom": Kind(clip, mutations.DICOM, 0.50),
    "phantom": Kind(clip, mutations.DICOM, 0.01),
    "still": Kind(clip, mutations.BYTES, 0.12),
    "zip": Kind(container("a.zip"), mutations.BYTES, 0.08),
    "dicomdir": Kind(container("DICOMDIR"), mutations.DICOM, 0.05),
    "mask": Kind(mask, mutations.BYTES, 0.04),
    "nrrd": Kind(drawn("slicer", "a.seg.nrrd"), mutations.BYTES, 0.04),
    "coco": Kind(drawn("coco", "instances.json"), _TREE, 0.03),
    "labelme": Kind(drawn("labelme", "a.json"), _TREE, 0.03),
    "cvat": Kind(drawn("cvat", "a.xml"), (mutations.markup, *mutations.BYTES), 0.03),
    "dataset": Kind(dataset, _TREE, 0.02),
    "card": Kind(card, _TREE, 0.02),
}


def cleared(folder: Path) -> Path:
    """Return the folder, empty."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink() if path.is_file() or path.is_symlink() else shutil.rmtree(path)
    return folder
