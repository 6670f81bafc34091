"""Fuzzing of everything that reads foreign bytes: seeds, mutations, roads, and who watches them."""
