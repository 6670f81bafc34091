"""The review page: a person confirms, corrects or rejects every measurement of a run."""
