"""Kinds of parameters, and weights that are functions of them."""

from zoo import parameters, parametrisations
from zoo.checking import checks_of

test_weights = checks_of(parameters, parametrisations)
