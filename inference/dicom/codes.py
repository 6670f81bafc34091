"""The coded terms of DICOM results. Standard ones from PS3.16, our own under 99ENDOMETER."""

from pydicom.sr.coding import Code

from imaging.reasons import Reason
from inference.records import Call

# A designator that begins with 99 is private (PS3.16 section 8.2).
SCHEME = "99ENDOMETER"
SCHEME_NAME = "Terms of endometer, a program that measures endometrial thickness"

ENDOMETRIUM = Code("2739003", "SCT", "Endometrium")
UTERUS = Code("35039007", "SCT", "Uterus")
PERSON = Code("121006", "DCM", "Person")
THICKNESS = Code("12145-9", "LN", "Endometrium Thickness")  # CID 12011
ULTRASONOGRAPHY = Code("16310003", "SCT", "Diagnostic ultrasonography")
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")  # CID 7150
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162
DEVICE = Code("121007", "DCM", "Device")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
COMMENT = Code("121106", "DCM", "Comment")
# CID 42: instead of a number that is not there
MEASUREMENT_FAILURE = Code("114006", "DCM", "Measurement failure")
# CID 225, the row for uncertainty of TID 310
UPPER_UNCERTAINTY = Code("371886008", "SCT", "+, range of upper measurement uncertainty")
LOWER_UNCERTAINTY = Code("371885007", "SCT", "-, range of lower measurement uncertainty")
MILLIMETRE = Code("mm", "UCUM", "mm")
NO_UNITS = Code("1", "UCUM", "no units")
YES, NO = Code("373066001", "SCT", "Yes"), Code("373067005", "SCT", "No")

# A code value has at most 16 characters (VR SH).
CALL = Code("CALL", SCHEME, "Thickness against the threshold")
CALLS = {
    Call.THIN: Code("THIN", SCHEME, "Thin: the interval is below the threshold"),
    Call.NOT_THIN: Code("NOT_THIN", SCHEME, "Not thin: no part of the interval is below"),
    Call.INDETERMINATE: Code("INDETERMINATE", SCHEME, "Indeterminate at the threshold"),
}
QUALITY = Code("QUALITY", SCHEME, "Quality of the measurement, 0 to 1")
FLUID = Code("FLUID", SCHEME, "Fluid in the uterine cavity, left out of the thickness")
SCALE = Code("SCALE", SCHEME, "Source of the scale")
SCALES = {
    "ultrasound_region": Code("REGION", SCHEME, "Ultrasound region of the image"),
    "pixel_spacing": Code("PIXEL_SPACING", SCHEME, "Pixel spacing of the image, unverified"),
    "ruler": Code("RULER", SCHEME, "Depth ruler in the picture"),
    "user": Code("USER", SCHEME, "Given by the user"),
}
# What a person measured has no interval: the number itself is below the threshold, or is not.
BY_NUMBER = {
    Call.THIN: Code("BELOW", SCHEME, "Below the threshold"),
    Call.NOT_THIN: Code("NOT_BELOW", SCHEME, "Not below the threshold"),
}
METHOD_BY_HAND = Code("BY_HAND", SCHEME, "Measured by a person on the picture")
METHOD_CONFIRMED = Code("CONFIRMED", SCHEME, "Measured by a program, confirmed by a person")
# Why a person rejected a measurement.
REJECTED = {
    "wrong_place": Code("WRONG_PLACE", SCHEME, "Outline on another structure"),
    "wrong_plane": Code("WRONG_PLANE", SCHEME, "Not the midsagittal plane"),
    "poor_picture": Code("POOR_PICTURE", SCHEME, "Picture too poor to measure"),
    "not_visible": Code("NO_ENDOMETRIUM", SCHEME, "No endometrium seen"),
    "cut_off": Code("CUT_OFF", SCHEME, "Cut off by the edge of the picture"),
    "wrong_scale": Code("IMPOSSIBLE_SCALE", SCHEME, "The scale cannot be right"),
    "other": Code("OTHER", SCHEME, "Another reason, in the comment"),
}
REASON = Code("REASON", SCHEME, "Reason for no measurement")
REASONS = {
    Reason.NO_CALIBRATION: Code("NO_SCALE", SCHEME, "No safe scale in the file"),
    Reason.AMBIGUOUS_CALIBRATION: Code("AMBIGUOUS_SCALE", SCHEME, "Several scales, unclear which"),
    Reason.IMPLAUSIBLE_CALIBRATION: Code("IMPOSSIBLE_SCALE", SCHEME, "The scale cannot be right"),
    Reason.NOT_BMODE: Code("NOT_BMODE", SCHEME, "Not a two-dimensional B-mode image"),
    Reason.NO_ENDOMETRIUM: Code("NO_ENDOMETRIUM", SCHEME, "No endometrium seen"),
    Reason.CUT_OFF: Code("CUT_OFF", SCHEME, "Cut off by the edge of the picture"),
    Reason.LOW_QUALITY: Code("LOW_QUALITY", SCHEME, "Too uncertain to give a number"),
    Reason.IMPLAUSIBLE_GEOMETRY: Code("NOT_ENDOMETRIUM", SCHEME, "Outline of another shape"),
}
