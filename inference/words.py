"""Results in words, for people. One decimal in millimetres; tables keep full precision."""

from imaging.reasons import Reason
from inference.records import Call, Measurement, Status

CALLS = {
    Call.THIN: "thin: below {0:g} mm",
    Call.NOT_THIN: "not thin: {0:g} mm or more",
    Call.INDETERMINATE: "indeterminate at {0:g} mm",
}
REASONS = {
    Reason.NO_CALIBRATION: "no safe scale in the file",
    Reason.AMBIGUOUS_CALIBRATION: "several scales in the file, unclear which holds",
    Reason.IMPLAUSIBLE_CALIBRATION: "the scale in the file cannot be right",
    Reason.NOT_BMODE: "not a two-dimensional B-mode image",
    Reason.NO_ENDOMETRIUM: "no endometrium seen",
    Reason.CUT_OFF: "the endometrium is cut off by the edge of the picture",
    Reason.LOW_QUALITY: "too uncertain to give a number",
    Reason.IMPLAUSIBLE_GEOMETRY: "what was outlined cannot be an endometrium",
}


def in_words(row: Measurement) -> str:
    """Return the result of a row in one line."""
    if row.status is Status.FAILED:
        return "could not be read"
    if row.status is Status.NOT_MEASURABLE or row.thickness_mm is None or row.call is None:
        return f"not measured: {REASONS[row.reason]}" if row.reason else "not measured"
    fluid = ", fluid in the cavity left out" if row.fluid else ""
    doubt = ", scale unverified" if row.calibration == "pixel_spacing" else ""
    return (
        f"{row.thickness_mm:.1f} mm ({_interval(row)}), "
        f"{CALLS[row.call].format(row.threshold_mm)}{fluid}{doubt}"
    )


def _interval(row: Measurement) -> str:
    """Return the interval with one decimal, or with two where rounding would belie the call."""
    ends, limit = (row.lower_mm or 0.0, row.upper_mm or 0.0), row.threshold_mm or 0.0
    short = [f"{end:.1f}" for end in ends]
    true_to_call = all((float(s) < limit) == (e < limit) for s, e in zip(short, ends, strict=True))
    return "–".join(short if true_to_call else [f"{end:.2f}" for end in ends])
