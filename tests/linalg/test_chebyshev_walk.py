"""Chebyshev polynomials: moments against a dense twin, and eigenvalues outside the support."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from naive import chebyshev_samples

from hessdens import NonFiniteError, as_operator
from hessdens.linalg.chebyshev_walk import ChebyshevWalk, OutsideError, tolerance
from hessdens.results.support import Interval
from hessdens.testing import symmetric_matrices


def rows(count, size):
    return np.random.default_rng(0).standard_normal((count, size))


@given(symmetric_matrices(), st.integers(1, 9))
def test_moments_are_those_of_dense_polynomials(case, num_moments):
    matrix, eigenvalues = case
    support = Interval(eigenvalues[0] - 1.0, eigenvalues[-1] + 2.0)
    probes = rows(3, len(matrix))
    walk = ChebyshevWalk(torch.from_numpy(probes).T, 0, as_operator(matrix), support)
    expected = chebyshev_samples(matrix, probes, num_moments, tuple(support))
    np.testing.assert_allclose(walk.moments(num_moments), expected, atol=1e-11)


def test_growing_vectors_tell_of_an_eigenvalue_outside():
    walk = ChebyshevWalk(torch.ones(2, 1, dtype=torch.float64), 0, as_operator(np.diag([0.0, 1.5])), Interval(-1, 1))
    with pytest.raises(OutsideError, match=r"^T_1 makes a probe 1.061 times as long$"):
        walk.moments(2)


def test_tolerance_is_the_root_of_the_precision():
    assert tolerance(as_operator(np.eye(2))) == pytest.approx(2**-26)
    assert tolerance(as_operator(np.eye(2), dtype=torch.float32)) == pytest.approx(2**-11.5)


def test_products_that_are_not_finite_are_named():
    operator = as_operator(lambda V: V * torch.nan, size=2, check_symmetric=False)
    walk = ChebyshevWalk(torch.ones(2, 3, dtype=torch.float64), 10, operator, Interval(-1, 1))
    with pytest.raises(NonFiniteError, match="product 1 of probe 10 is not"):
        walk.moments(1)
