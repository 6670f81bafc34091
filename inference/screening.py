"""Which views of a clip show a B-mode image, by their pixels."""

import numpy as np

from imaging.clip import Clip, ClipError
from imaging.reasons import Refusal
from imaging.screens import Screen, screen_refusal
from inference.frame import View


def screened(clip: Clip, views: list[View]) -> tuple[list[View], Refusal | None]:
    """Return the views that may be B-mode images, and why the first other one is none.

    One frame of B-mode is enough for a view to stay: of a cine the middle, the first and the last
    frame are looked at until there is one. Frames that cannot be read say nothing.
    """
    found = [(view, _refusal(clip, view)) for view in views]
    refusals = [refusal for _, refusal in found if refusal]
    return [view for view, refusal in found if not refusal], next(iter(refusals), None)


def _refusal(clip: Clip, view: View) -> Refusal | None:
    found: Refusal | None = None
    window = np.s_[view.box.row_0 : view.box.row_1 + 1, view.box.column_0 : view.box.column_1 + 1]
    size = max(view.spacing_mm) if view.spacing_mm else None
    for number in dict.fromkeys([(clip.frames + 1) // 2, 1, clip.frames]):
        try:
            luma = clip.frame(number).luma
        except ClipError:
            continue
        refusal = screen_refusal(Screen(luma[window], view.sector[window], size))
        if refusal is None:
            return None
        found = found or refusal
    return found
