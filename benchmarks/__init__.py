"""Benchmarks that say what the accuracy and the speed of `endometer` are."""
