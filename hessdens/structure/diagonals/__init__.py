"""Samples of a diagonal, whose sums are the traces of parts."""
