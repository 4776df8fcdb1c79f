"""The strategies and assertions that other projects use."""

import runpy
import sys

import numpy as np
import pytest
import torch
from hypothesis import find, given, settings
from naive import flat_gradient, hessian_by_differences

import hessdens.testing
from hessdens.results import Moments
from hessdens.testing import assert_moments_agree, networks, rotated, spectra, symmetric_matrices


@given(spectra(min_size=2, max_size=7, max_magnitude=10.0))
def test_spectra_keep_their_bounds(eigenvalues):
    assert 2 <= len(eigenvalues) <= 7
    assert np.abs(eigenvalues).max() <= 10


@pytest.mark.parametrize(
    "wanted",
    [
        lambda x: (x < 0).any() and (x > 0).any(),
        lambda x: len(x) > 5 and np.mean(x == 0) > 0.6 and x.any(),
        lambda x: len(x) > 3 and len(np.unique(x)) == 2,
        lambda x: len(x) > 3 and np.sort(np.abs(x))[-1] > 1e3 * np.sort(np.abs(x))[-2] > 0,
    ],
    ids=["indefinite", "degenerate", "repeated", "spike"],
)
def test_spectra_of_every_kind_occur(wanted):
    find(spectra(), wanted, settings=settings(max_examples=2000, database=None))


@given(symmetric_matrices())
def test_matrices_have_the_stated_eigenvalues(case):
    matrix, eigenvalues = case
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), eigenvalues, atol=1e-12 * (1 + np.abs(eigenvalues).max()))


def test_matrices_with_a_chosen_spectrum():
    matrix, eigenvalues = find(symmetric_matrices([3.0, 1.0]), lambda case: True)
    assert eigenvalues.tolist() == [1.0, 3.0]
    assert np.trace(matrix) == pytest.approx(4)


def test_eigenvectors_are_uniform():
    """Without the sign of the triangle, the first entries of Q would all be negative."""
    rng = np.random.default_rng(0)
    entries = [np.linalg.eigh(rotated([0.0, 1.0], rng))[1] for _ in range(400)]
    products = [vectors[0, 1] * vectors[1, 1] for vectors in entries]
    assert abs(np.mean(products)) < 4 * np.std(products) / 20


@settings(max_examples=15)
@given(networks(max_width=3, max_depth=1))
def test_reference_hessian_against_finite_differences(case):
    """ReLU networks are left out: a step across a kink is no derivative."""
    if any(isinstance(module, torch.nn.ReLU) for module in case.model):
        return
    inputs, targets = (torch.cat(parts) for parts in zip(*case.data, strict=True))
    gradient = flat_gradient(case.model, case.loss_fn, inputs, targets)
    point = torch.cat([p.detach().reshape(-1) for p in case.model.parameters()]).numpy()
    reference = hessian_by_differences(gradient, point, 1e-3)
    np.testing.assert_allclose(case.dense_hessian().numpy(), reference, atol=1e-7 * (1 + np.abs(reference).max()))


def test_assertion_passes_and_fails_by_standard_errors():
    exact = np.array([1.0, 3.0])  # m_1 = 2, m_2 = 5
    moments = Moments([2.5, 5.0], [0.1, 0.0], [[2.5, 5.0]] * 2, 2, 2)
    assert_moments_agree(moments, exact, num_standard_errors=5.1)
    with pytest.raises(
        AssertionError, match=r"m_1 must be within 4 standard errors of the exact 2\.0.*5\.0 standard err"
    ):
        assert_moments_agree(moments, exact, num_standard_errors=4)
    with pytest.raises(AssertionError, match="m_2"):
        assert_moments_agree(Moments([2.0, 5.1], [0.1, 0.0], [[2.0, 5.1]] * 2, 2, 2), exact)
    with pytest.raises(AssertionError, match="m_1"):
        assert_moments_agree(Moments([np.nan, 5.0], [0.1, 0.0], [[2.0, 5.0]] * 2, 2, 2), exact)


def test_without_hypothesis_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs Hypothesis; got .*pip install 'hessdens\[testing\]'"):
        runpy.run_path(hessdens.testing.__file__)
