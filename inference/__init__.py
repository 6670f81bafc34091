"""Thickness, decision, the per-clip pipeline and the records it writes."""
