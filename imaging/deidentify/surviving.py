"""The elements that survive de-identification: all that measuring and showing a clip needs, and its
maker and model. Everything else goes, whatever it is.

Of table E.1-1 of PS3.15 nothing is here but dates, times and UIDs, which are replaced or moved, and
what the type 2 elements of the modules must have, empty.
"""

NUMBERS = (
    "NumberOfFrames",
    "FrameTime",
    "FrameTimeVector",
    "CineRate",
    "RecommendedDisplayFrameRate",
    "StartTrim",
    "StopTrim",
    "EffectiveDuration",
    "ActualFrameDuration",
    "FrameDelay",
    "SeriesNumber",
    "InstanceNumber",
    "AcquisitionNumber",
    "PixelSpacing",
    "PixelAspectRatio",
    "UltrasoundColorDataPresent",
    "DepthOfScanField",
    "WindowCenter",
    "WindowWidth",
    "RescaleIntercept",
    "RescaleSlope",
    "LossyImageCompressionRatio",
)
# Terms that the standard defines; another value might be a word of somebody's.
TERMS = {
    "Modality": frozenset({"US", "OT", "SC"}),
    "ImageType": frozenset({"ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY"}),
    "ConversionType": frozenset({"DV", "DI", "DF", "WSD", "SD", "SI", "DRW", "SYN"}),
    "LossyImageCompression": frozenset({"00", "01"}),
    "LossyImageCompressionMethod": frozenset(
        {"ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_15", "ISO_13818_2", "ISO_14496_10"}
    ),
    "PresentationLUTShape": frozenset({"IDENTITY", "INVERSE"}),
    "RescaleType": frozenset({"US", "OD", "HU"}),
}
TEXTS = ("Manufacturer", "ManufacturerModelName")
DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
TIMES = ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime")
DATETIMES = ("AcquisitionDateTime",)
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
# Type 2 of the modules Patient, General Study, General Series, General Image
EMPTY = (
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "SeriesNumber",
    "InstanceNumber",
)
# US Region Calibration Module, PS3.3 C.8.5.5
REGION_NUMBERS = (
    "RegionSpatialFormat",
    "RegionDataType",
    "RegionFlags",
    "RegionLocationMinX0",
    "RegionLocationMinY0",
    "RegionLocationMaxX1",
    "RegionLocationMaxY1",
    "ReferencePixelX0",
    "ReferencePixelY0",
    "PhysicalUnitsXDirection",
    "PhysicalUnitsYDirection",
    "ReferencePixelPhysicalValueX",
    "ReferencePixelPhysicalValueY",
    "PhysicalDeltaX",
    "PhysicalDeltaY",
    "TransducerFrequency",
    "PulseRepetitionFrequency",
    "DopplerCorrectionAngle",
    "SteeringAngle",
)
