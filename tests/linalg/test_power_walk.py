"""Powers: moments against a dense twin, in range whatever the scale, and what is not finite."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from naive import skilling_samples

from hessdens import NonFiniteError, as_operator
from hessdens.linalg.power_walk import PowerWalk, check_range
from hessdens.testing import symmetric_matrices


def rows(count, size):
    return np.random.default_rng(0).standard_normal((count, size))


@given(symmetric_matrices(), st.integers(1, 7))
def test_moments_are_those_of_matrix_powers(case, num_moments):
    matrix, eigenvalues = case
    walk = PowerWalk(torch.from_numpy(rows(3, len(matrix))).T, 0, as_operator(matrix))
    scale = np.max(np.abs(eigenvalues)) ** np.arange(1, num_moments + 1) + 1e-300
    expected = skilling_samples(matrix, rows(3, len(matrix)), num_moments)
    np.testing.assert_allclose(walk.moments(num_moments) / scale, expected / scale, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-30, 1e9, 1e30])
def test_factors_keep_vectors_in_the_range_of_float32(scale):
    operator = as_operator(torch.tensor([[scale]], dtype=torch.float32))
    moments = PowerWalk(torch.ones(1, 1), 0, operator).moments(6)
    np.testing.assert_allclose(moments[0], scale ** np.arange(1.0, 7.0), rtol=1e-5)


def test_moments_beyond_float64():
    with pytest.raises(NonFiniteError, match=r"within the range of float64; m_4 overflows\. Scale the operator"):
        PowerWalk(torch.ones(1, 2, dtype=torch.float64), 0, as_operator(np.array([[1e80]]))).moments(4)
    check_range(np.ones((2, 3)))
    with pytest.raises(NonFiniteError, match="m_3 overflows"):
        check_range(np.array([[1.0, 1.0, np.nan]]))


def test_products_that_are_not_finite_are_named():
    column = torch.tensor([1.0, 1.0, torch.nan])
    operator = as_operator(lambda V: V * column, size=2, dtype=torch.float32, check_symmetric=False)
    with pytest.raises(NonFiniteError, match="product 1 of probe 12 is not"):
        PowerWalk(torch.ones(2, 3), 10, operator).moments(1)
