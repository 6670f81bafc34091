"""All DICOM results of one clip."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imaging.reasons import Reason
from inference.clip import MeasuredClip
from inference.dicom.capture import capture
from inference.dicom.maker import Kind, Maker
from inference.dicom.origin import NoResultError, Origin, read_origin
from inference.dicom.seg import segmentation
from inference.dicom.sr import report
from inference.records import Status

if TYPE_CHECKING:
    from PIL import Image
    from pydicom import Dataset


@dataclass(frozen=True)
class Results:
    """The objects of a clip by kind, and why others are not there, in words without identity."""

    objects: "dict[Kind, Dataset]"
    notes: tuple[str, ...] = ()


def dicom_results(
    kinds: Collection[Kind],
    header: "Dataset | None",
    clip: MeasuredClip,
    picture: "Image.Image | None",
    maker: Maker,
) -> Results:
    """Return the objects of `kinds` for a clip, by the frame that speaks for it.

    `header` is the source's, None for an image that is no DICOM; `picture` the drawn best frame,
    None if there is none. A measured clip gives all kinds, but a cine no SEG. A refused one gives
    the report alone: a drawing of a number that nobody vouches for would outlive its caption. A
    clip that could not be read, or shows no B-mode image at all, gives nothing.
    """
    best = clip.record.best
    if best.status is Status.FAILED or best.reason is Reason.NOT_BMODE:
        return Results({})
    try:
        origin = read_origin(header, clip.record.frames or 1, maker.run_at)
    except NoResultError as error:
        return Results({}, (str(error),))
    objects: dict[Kind, Dataset] = {}
    notes = []
    for kind in Kind:
        if kind not in kinds or (kind is not Kind.SR and best.status is not Status.MEASURED):
            continue
        try:
            objects[kind] = _made(kind, origin, clip, picture, maker)
        except NoResultError as error:
            notes.append(str(error))
    return Results(objects, tuple(notes))


def _made(
    kind: Kind, origin: Origin, clip: MeasuredClip, picture: "Image.Image | None", maker: Maker
) -> "Dataset":
    best = clip.record.best
    finding = clip.findings.get(best.frame) if best.frame is not None else None
    if kind is Kind.SR and best.status is not Status.MEASURED:
        return report(origin, best, None, maker)
    if finding is None or best.frame is None:
        raise NoResultError("The outline of the clip's best frame was not kept.")
    if kind is Kind.SR:
        return report(origin, best, finding, maker)
    if kind is Kind.SEG:
        return segmentation(origin, finding, maker)
    if picture is None:
        raise NoResultError("The picture of the best frame could not be drawn.")
    return capture(origin, best.frame, picture, maker)


def result_name(name: str, kind: Kind) -> str:
    """Return the file name of a result: its clip's (16 digits), and the kind."""
    return f"{name}-{kind}.dcm"
