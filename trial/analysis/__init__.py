"""The statistics of the study: pure functions over observations and transfers."""
