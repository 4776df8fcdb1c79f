"""Layers, functions of torch, and custom functions."""

from zoo import detached, functions, layers, operations
from zoo.checking import checks_of

test_building_blocks = checks_of(functions, layers, operations, detached)
