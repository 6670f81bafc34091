"""DICOM segmentations: each of their frames names the frame of the image that it lies on.

Segmentation Storage (PS3.3 A.51) and Label Map Segmentation Storage (A.51.5).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.importers.annotation import Annotation, Fault, Layer, size_fault
from data.importers.pictures import Library, PictureError
from imaging.dicom_file import parsing
from imaging.errors import ClipError

if TYPE_CHECKING:
    from pydicom import Dataset

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
# A pixel of a fractional segmentation belongs to it from half of the full value on.
HALF = 0.5

Source = tuple[str, int]


def among(files: Sequence[Path]) -> list[Path]:
    """Return the files that are DICOM segmentations by their SOP class."""
    return [path for path in files if _uids(path)[0] in (SEGMENTATION, LABEL_MAP)]


def read(library: Library, files: Sequence[Path]) -> Iterator[Annotation | Fault]:
    """Yield an annotation for each image frame that a segmentation names; see `Reader.read`."""
    instances: dict[str, list[Path]] = defaultdict(list)
    drawings = set(files)
    for path in library.files:
        if path not in drawings:
            sop_class, uid = _uids(path)
            if uid and sop_class not in (SEGMENTATION, LABEL_MAP):
                instances[uid].append(path)
    for path in files:
        where = library.name(path)
        try:
            yield from _file(where, path, library, instances)
        except (ClipError, PictureError) as error:
            yield Fault(where, str(error))


def _file(
    where: str, path: Path, library: Library, instances: dict[str, list[Path]]
) -> Iterator[Annotation | Fault]:
    drawn: dict[Source, list[tuple[str, NDArray[np.bool_]]]] = defaultdict(list)
    for source, name, mask in _frames(path):
        drawn[source].append((name, mask))
    for (uid, frame), masks in drawn.items():
        at = f"{where}, frame {frame} of its image"
        found = instances.get(uid, [])
        if not found:
            yield Fault(
                at,
                f"the image with SOP instance UID {uid} is not below {library.root}. Name the "
                "folder that holds it: --images FOLDER.",
            )
            continue
        picture = library.open(found[0])
        if not 1 <= frame <= picture.frames:
            yield Fault(at, f"{picture.name} has {picture.frames} frames.")
            continue
        rows, columns = masks[0][1].shape
        if fault := size_fault(at, picture, rows, columns, "the segmentation"):
            yield fault
            continue
        layers = tuple(Layer(name, mask) for name, mask in masks if mask.any())
        yield Annotation(at, picture, layers, frame)


def _frames(path: Path) -> Iterator[tuple[Source, str, NDArray[np.bool_]]]:
    """Yield image frame, name of the segment, and mask (rows, columns) of a segmentation.

    Raises ClipError for one that cannot be read, without the values in it.
    """
    from pydicom import dcmread

    with parsing():
        dataset = dcmread(path)
        names = {
            int(item.SegmentNumber): str(item.get("SegmentLabel") or item.SegmentNumber).strip()
            for item in dataset.SegmentSequence
        }
        pixels = np.asarray(dataset.pixel_array)
        pixels = pixels if pixels.ndim == 3 else pixels[np.newaxis]
        shared = _first(dataset, "SharedFunctionalGroupsSequence")
        groups = list(dataset.PerFrameFunctionalGroupsSequence)
        is_map = dataset.SOPClassUID == LABEL_MAP
        fractional = dataset.get("SegmentationType") == "FRACTIONAL"
        full = float(dataset.get("MaximumFractionalValue") or 1) if fractional else 1.0
        sources = [_source(group, shared, dataset) for group in groups]
    if len(groups) != len(pixels):
        raise ClipError(f"it lists {len(groups)} frames and has {len(pixels)}. Export it again.")
    for group, source, values in zip(groups, sources, pixels, strict=True):
        if source is None:
            raise ClipError(
                "a frame of it names no image that it lies on (no SourceImageSequence), so nobody "
                "knows where it belongs. Export it with references to its images."
            )
        if is_map:
            for value in np.unique(values).tolist():
                if value in names and value:
                    yield source, names[value], values == value
            continue
        with parsing():
            number = int(_segment(group, shared))
        yield source, names.get(number, str(number)), values >= HALF * full


def _segment(group: "Dataset", shared: "Dataset | None") -> Any:
    found = _first(group, "SegmentIdentificationSequence")
    if found is None and shared is not None:
        found = _first(shared, "SegmentIdentificationSequence")
    if found is None:
        raise ClipError("a frame of it names no segment. Export it again.")
    return found.ReferencedSegmentNumber


def _source(group: "Dataset", shared: "Dataset | None", dataset: "Dataset") -> Source | None:
    """Return SOP instance UID and frame (from 1) of the image, from the frame itself (PS3.3
    C.7.6.16.2.6), what all frames share, or the only instance that the object refers to."""
    for holder in (group, shared):
        derivation = None if holder is None else _first(holder, "DerivationImageSequence")
        image = None if derivation is None else _first(derivation, "SourceImageSequence")
        if image is not None:
            return _instance(image)
    series = list(dataset.get("ReferencedSeriesSequence") or [])
    listed = [item for one in series for item in one.get("ReferencedInstanceSequence") or []]
    if len(listed) == 1 and len(dataset.PerFrameFunctionalGroupsSequence) <= len(
        dataset.SegmentSequence
    ):
        return _instance(listed[0])
    return None


def _instance(item: "Dataset") -> Source:
    frame = item.get("ReferencedFrameNumber")
    first = frame if isinstance(frame, int) or frame is None else next(iter(frame), None)
    return str(item.ReferencedSOPInstanceUID), int(first or 1)


def _first(holder: "Dataset", keyword: str) -> "Dataset | None":
    sequence = holder.get(keyword)
    return sequence[0] if sequence else None


def _uids(path: Path) -> tuple[str, str]:
    """Return SOP class and instance UID, empty for what is no DICOM file with a preamble."""
    from pydicom import dcmread

    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return "", ""
            file.seek(0)
            found = dcmread(
                file,
                stop_before_pixels=True,
                specific_tags=["SOPClassUID", "SOPInstanceUID"],
            )
            return str(found.get("SOPClassUID", "")), str(found.get("SOPInstanceUID", ""))
    except Exception:  # noqa: BLE001 - a hostile header can raise anything; it is no segmentation
        return "", ""
