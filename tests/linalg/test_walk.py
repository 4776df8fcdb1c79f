"""Walks that stop, lie in a file and go on; the two kinds of moments stand in files of their own."""

import numpy as np
import pytest
import torch

from hessdens import as_operator
from hessdens.linalg.chebyshev_walk import ChebyshevWalk
from hessdens.linalg.power_walk import PowerWalk
from hessdens.linalg.walk import products_per_probe
from hessdens.results.support import Interval
from hessdens.testing import rotated

MATRIX = rotated(np.linspace(-1, 3, 30), np.random.default_rng(0))
WALKS = {
    "powers": lambda V, operator: PowerWalk(V, 5, operator),
    "Chebyshev": lambda V, operator: ChebyshevWalk(V, 5, operator, Interval(-1.1, 3.1)),
}


def probes(count):
    return torch.randn(count, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).T


def test_products_of_moments():
    assert [products_per_probe(k) for k in range(1, 6)] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("kind", WALKS)
def test_walks_go_on_from_their_arrays(kind):
    operator = as_operator(MATRIX)
    whole, stopped = (WALKS[kind](probes(3), operator) for _ in range(2))
    stopped.moments(3)
    arrays = stopped.to_arrays()
    assert all(isinstance(array, np.ndarray | float) for array in arrays.values())
    assert arrays["vectors"].shape == (3, 30)
    resumed = WALKS[kind](torch.from_numpy(arrays["vectors"]).T, operator).resumed(arrays)
    assert resumed.num_steps == 2
    np.testing.assert_allclose(resumed.moments(9), whole.moments(9), rtol=1e-12)
    assert resumed.asymmetry == whole.asymmetry < 1e-14


@pytest.mark.parametrize("kind", WALKS)
def test_steps_are_made_once(kind):
    calls = []
    operator = as_operator(lambda V: calls.append(V.shape[1]) or 0.5 * V, size=30, check_symmetric=False)
    walk = WALKS[kind](probes(2), operator)
    assert [walk.moments(k).shape for k in (3, 1, 4, 5)] == [(2, 3), (2, 1), (2, 4), (2, 5)]
    assert calls == [2, 2, 2]
    assert np.isnan(WALKS[kind](probes(1), operator).asymmetry)
