"""The study's report: one self-contained page and its tables."""
