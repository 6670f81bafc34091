"""Which picture a drawing belongs to, where only names and folders tell."""

import re
from collections.abc import Collection
from pathlib import Path

from data.importers.pictures import Library, PictureError, stem_of

# What folders of drawings and of the pictures beside them are called; nnU-Net's are among them.
DRAWING_FOLDERS = frozenset(
    {"masks", "mask", "labels", "label", "segmentations", "annotations", "labelstr", "labelsts"}
)
PICTURE_FOLDERS = ("images", "image", "imgs", "img", "pictures", "imagestr", "imagests")
# `x_mask`, `x-label`, and `x_mask_1` where several belong to one picture; `mask` alone in a folder.
_SUFFIXED = re.compile(
    r"(?:(?P<stem>.+?)[ _.-])?(?:mask|label|labels|seg|segmentation|annotation|gt)(?:[ _-]\d+)?",
    re.IGNORECASE,
)


def drawing_by_name(path: Path) -> bool:
    """Tell from name and folders whether a file is a drawing."""
    return _folder(path) is not None or _SUFFIXED.fullmatch(stem_of(path)) is not None


def picture_of(drawing: Path, library: Library, drawings: Collection[Path]) -> Path:
    """Return the picture that a drawing belongs to.

    It has the drawing's name without what marks a drawing, and lies beside it, in a folder of
    pictures beside its folder of drawings, or somewhere in the library if its name is the only
    one; or it is the only picture beside it. Raises PictureError for none, and for several.
    """
    stem = stem_of(drawing)
    suffixed = _SUFFIXED.fullmatch(stem)
    stems = [suffixed["stem"]] if suffixed and suffixed["stem"] else []
    stems.append(stem)
    places = [drawing.parent]
    if folder := _folder(drawing):
        below = drawing.parent.relative_to(folder)
        around = [p for p in folder.parent.iterdir() if p.name.casefold() in PICTURE_FOLDERS]
        places = [place / below for place in around] + places
    for place in places:
        pictures = [path for path in library.in_folder(place) if path not in drawings]
        for wanted in stems:
            # nnU-Net numbers the channels of a picture
            found = [p for p in pictures if stem_of(p) in (wanted, f"{wanted}_0000")]
            if len(found) > 1:
                names = ", ".join(path.name for path in found)
                raise PictureError(f"several pictures could belong to it: {names}.")
            if found:
                return found[0]
    for wanted in stems:
        try:
            path = library.find(wanted)
        except PictureError:
            continue
        if path not in drawings:
            return path
    beside = [path for path in library.in_folder(drawing.parent) if path not in drawings]
    others = [path for path in drawings if path.parent == drawing.parent]
    if len(beside) == 1 and len(others) == 1:
        return beside[0]
    raise PictureError(
        f"no picture {stems[0]}.* was found for it: neither beside it, nor in a folder "
        f"{' or '.join(PICTURE_FOLDERS[:2])} beside its own, nor anywhere below {library.root} "
        "once. Name the folder of the pictures: --images FOLDER."
    )


def _folder(path: Path) -> Path | None:
    """Return the folder of drawings that a file lies in, at whatever depth."""
    found = [parent for parent in path.parents if parent.name.casefold() in DRAWING_FOLDERS]
    return found[0] if found else None
