"""Whole models, and how they are run."""

from zoo import graphs, models, physics, running, sequences
from zoo.checking import checks_of

test_networks = checks_of(graphs, models, physics, running, sequences)
