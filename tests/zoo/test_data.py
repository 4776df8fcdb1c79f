"""Losses, weights of examples, and batches."""

from zoo import batches, losses, weights
from zoo.checking import checks_of

test_data = checks_of(batches, losses, weights)
