"""Whether a header describes a two-dimensional B-mode image at all."""

from typing import TYPE_CHECKING

from imaging.identity import shown_code, text
from imaging.reasons import Reason, Refusal
from imaging.regions import SPATIAL_FORMATS, regions

if TYPE_CHECKING:
    from pydicom import Dataset

ULTRASOUND_SOP_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.6.1",  # Ultrasound Image
        "1.2.840.10008.5.1.4.1.1.3.1",  # Ultrasound Multi-frame Image
        "1.2.840.10008.5.1.4.1.1.6",  # Ultrasound Image, retired
        "1.2.840.10008.5.1.4.1.1.3",  # Ultrasound Multi-frame Image, retired
    }
)
ENHANCED_US_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"


def bmode_refusal(header: "Dataset | None") -> Refusal | None:
    """Return why the object cannot be a B-mode image, None if it can.

    Refused are volumes, other modalities unless the SOP class is ultrasound's, and objects whose
    regions are all M-mode, spectra, waveforms or graphics (RegionSpatialFormat, PS3.3
    C.8.5.5.1.1). A header that says nothing is not refused, nor is an image without a header.
    """
    if header is None:
        return None
    sop_class = text(header, "SOPClassUID")
    modality = text(header, "Modality")
    if sop_class == ENHANCED_US_VOLUME:
        return _refusal("The object is a 3D ultrasound volume. Export the sagittal plane from it")
    if modality not in (None, "US") and sop_class not in ULTRASOUND_SOP_CLASSES:
        return _refusal(
            f"The modality is {shown_code(modality)}, not US. Choose an ultrasound image"
        )
    formats = {region.spatial_format for region in regions(header)}
    if formats and formats <= SPATIAL_FORMATS.keys() - {1}:
        named = ", ".join(sorted(SPATIAL_FORMATS[number] for number in formats if number))
        return _refusal(f"The regions are only {named}; none is 2D. Choose a B-mode image")
    return None


def _refusal(found: str) -> Refusal:
    return Refusal(Reason.NOT_BMODE, f"{found}.")
