"""Results as DICOM objects that go back to the archive the clips came from."""
