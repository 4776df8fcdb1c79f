"""A small history of a training run, for tests."""

import numpy as np

from hessdens import lanczos_density
from hessdens.monitor import SpectrumHistory, SpectrumRecord

IDENTITY = {"model": "Net", "size": 60, "data": 1.25, "seed": 0}


def density(scale):
    eigenvalues = scale * np.concatenate([0.02 * np.random.default_rng(0).standard_normal(56), [-0.5, 1, 3, 9]])
    return lanczos_density(np.diag(eigenvalues), max_products=24)


def record(step, scale=1.0, failure=""):
    found = None if failure else density(scale)
    return SpectrumRecord(step, 2.5 / (1 + step), found, failure, 10.0 * step, 1.0 + 0.1 * step)


HISTORY = SpectrumHistory(
    IDENTITY, (record(0), record(10, 1.2), record(20, failure="Products must be finite."), record(40, 2.0))
)
