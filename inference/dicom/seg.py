"""The outline of a still as a segmentation of its pixels."""

from typing import TYPE_CHECKING

from data.raster import coverage
from inference.dicom import codes
from inference.dicom.maker import NAME, Kind, Maker, finish
from inference.dicom.origin import NoResultError, Origin
from inference.frame import Finding

if TYPE_CHECKING:
    from pydicom import Dataset


def segmentation(origin: Origin, finding: Finding, maker: Maker) -> "Dataset":
    """Return a binary segmentation: a pixel belongs to it if half of it lies inside the outline.

    Fluid in the cavity lies inside. Raises NoResultError for a cine: its frames have no place in
    space (no Frame of Reference), which a segmentation of several frames needs.
    """
    if origin.is_multiframe:
        raise NoResultError(
            "There is no segmentation of a cine, whose frames have no place in space: its outline "
            "is in the report (sr)."
        )
    from highdicom import AlgorithmIdentificationSequence, seg

    shape = (origin.header.Rows, origin.header.Columns)
    mask = coverage(finding.outline, shape) >= 0.5
    if not mask.any():
        raise NoResultError("The outline covers no pixel of the image, so it is no segmentation.")
    outline = [contour.tolist() for contour in finding.outline]
    identity = (origin.key, outline)
    made = seg.Segmentation(
        source_images=[origin.header],
        pixel_array=mask,
        segmentation_type=seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            seg.SegmentDescription(
                segment_number=1,
                segment_label="Endometrium",
                segmented_property_category=codes.ANATOMICAL_STRUCTURE,
                segmented_property_type=codes.ENDOMETRIUM,
                algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=AlgorithmIdentificationSequence(
                    name=f"{NAME} {maker.bundle}"[:64],
                    family=codes.ARTIFICIAL_INTELLIGENCE,
                    version=maker.version,
                    source=NAME,
                ),
                tracking_uid=maker.uid("segment", *identity),
                tracking_id="Endometrium",
            )
        ],
        content_label="ENDOMETRIUM",
        content_description="Outline of the endometrium, fluid in the cavity included",
        **maker.common(Kind.SEG, origin, maker.uid(Kind.SEG, *identity)),
    )
    made.PatientOrientation = None  # type 2: present, and unknown
    made.ContentCreatorName = None  # nobody: a program
    dimensions = maker.uid("dimensions", *identity)  # highdicom draws one by chance
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    return finish(made, origin)
