"""The overlay picture as a secondary capture: what every viewer shows."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from inference.dicom import codes
from inference.dicom.maker import Kind, Maker, finish
from inference.dicom.origin import Origin

if TYPE_CHECKING:
    from PIL import Image
    from pydicom import Dataset


def capture(origin: Origin, frame: int, picture: "Image.Image", maker: Maker) -> "Dataset":
    """Return a picture, such as inference.overlay draws, as an RGB secondary capture.

    It has no pixel spacing: nobody shall measure in a drawing. `frame` of the source, from 1, is
    the one that was drawn. Whether the picture names anybody is what the source says about itself,
    and "YES", to be careful, where it says nothing.
    """
    from highdicom.sc import SCImage
    from highdicom.sr import CodedConcept
    from pydicom import Dataset
    from pydicom.uid import ExplicitVRLittleEndian

    pixels = np.asarray(picture.convert("RGB"))
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    identity = (origin.key, frame, pixels.shape, digest, origin.no_burned_in_identity)
    made = SCImage.from_ref_dataset(
        ref_dataset=origin.header,
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # highdicom insists; taken back below
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **maker.common(Kind.SC, origin, maker.uid(Kind.SC, *identity)),
    )
    made.PatientOrientation = []  # type 2: present, and unknown
    made.BodyPartExamined = "UTERUS"
    made.ConversionType = "WSD"  # made by a workstation (PS3.3 C.8.6.1)
    made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = made.ContentDate, made.ContentTime
    made.BurnedInAnnotation = "NO" if origin.no_burned_in_identity else "YES"
    made.DerivationDescription = "Outline and calipers of the endometrium drawn over the image"
    image = Dataset()
    image.ReferencedSOPClassUID = origin.header.SOPClassUID
    image.ReferencedSOPInstanceUID = origin.header.SOPInstanceUID
    if origin.is_multiframe:
        image.ReferencedFrameNumber = frame
    image.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_IMAGE)]
    made.SourceImageSequence = [image]
    return finish(made, origin)
