"""Data sets before they are trained on: looked at, checked, drawn, split."""
