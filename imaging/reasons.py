"""Why a clip has no thickness: the closed list of design section 6, in words for people."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The machine-readable reason beside status `not_measurable`."""

    NO_CALIBRATION = "no_calibration"
    AMBIGUOUS_CALIBRATION = "ambiguous_calibration"
    IMPLAUSIBLE_CALIBRATION = "implausible_calibration"
    NOT_BMODE = "not_bmode"
    NO_ENDOMETRIUM = "no_endometrium"
    CUT_OFF = "cut_off"
    LOW_QUALITY = "low_quality"
    IMPLAUSIBLE_GEOMETRY = "implausible_geometry"


@dataclass(frozen=True)
class Refusal:
    """A refusal to measure: the reason, and a message that says what was found and what to do."""

    reason: Reason
    message: str
