"""The DICOM node: receives clips from scanners, measures quiet studies, sends results back."""
