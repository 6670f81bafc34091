"""Structured reports as scanners write them, item by item (TID 5000, TID 1500)."""

from dicom_factory import SECRET_ID, SECRET_NAME
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

IMAGE_UID = "1.2.826.0.1.3680043.8.498.77"
THICKNESS = ("12145-9", "LN", "Endometrium Thickness")
SELECTION, CHOSEN = ("121404", "DCM", "Selection Status"), ("121410", "DCM", "User chosen value")
MEAN_CHOSEN = ("121412", "DCM", "Mean value chosen")
DERIVATION = ("121401", "DCM", "Derivation")


def code(value, scheme, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def item(kind, name, *children, **elements):
    made = Dataset()
    made.RelationshipType, made.ValueType = "CONTAINS", kind
    if name:
        made.ConceptNameCodeSequence = [code(*name)]
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    if children:
        made.ContentSequence = list(children)
    return made


def container(name, *children):
    return item("CONTAINER", name, *children)


def coded(name, value):
    return item("CODE", name, ConceptCodeSequence=[code(*value)])


def number(value, unit="mm", name=THICKNESS, *children):
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = [code(unit, "UCUM", unit)]
    return item("NUM", name, *children, MeasuredValueSequence=[measured])


def image(uid=IMAGE_UID, frame=None):
    sop = Dataset()
    sop.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    sop.ReferencedSOPInstanceUID = uid
    if frame is not None:
        sop.ReferencedFrameNumber = frame
    return item("IMAGE", None, ReferencedSOPSequence=[sop])


def report(*content, **elements):
    """The root of a report in a study."""
    data = Dataset()
    data.Modality, data.Manufacturer = "SR", "Acme"
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    data.SOPInstanceUID, data.StudyInstanceUID = "1.2.3.1", "1.2.3"
    data.PatientName, data.PatientID = SECRET_NAME, SECRET_ID
    data.ValueType = "CONTAINER"
    data.ConceptNameCodeSequence = [code("125000", "DCM", "OB-GYN Ultrasound Procedure Report")]
    data.ContentSequence = list(content)
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


def ob_gyn(*numbers):
    """TID 5000 with its section on pelvis and uterus (TID 5015)."""
    section = container(
        ("125011", "DCM", "Pelvis and Uterus"),
        container(("35039007", "SCT", "Uterus"), number(52.0, "mm", ("11842-2", "LN", "Length"))),
        *numbers,
    )
    return report(container(("121111", "DCM", "Summary")), section)


def save(data, path):
    """Write a report to a file."""
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian)
    data.save_as(path, enforce_file_format=True)
