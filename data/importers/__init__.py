"""Annotations as other tools leave them: one module a format, `formats.FORMATS` lists them."""
