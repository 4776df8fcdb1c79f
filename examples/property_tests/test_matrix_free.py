"""How another project tests its own estimators with ``hessdens.testing``.

    pip install 'hessdens[testing]' pytest
    python -m pytest examples/property_tests

takes about 10 seconds. Hypothesis draws matrices whose eigenvalues are known exactly, of the kinds that Hessians have,
and shrinks a failing case to the simplest one. An estimate with noise is compared in units of its own standard error.
"""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_free import trace_samples, tridiagonal
from scipy.linalg import eigh_tridiagonal

from hessdens.results import Moments
from hessdens.testing import assert_moments_agree, networks, spectra, symmetric_matrices

SEEDS = st.integers(0, 2**32 - 1)
SAMPLES = 200


@given(symmetric_matrices(), SEEDS)
def test_trace_lies_within_its_standard_error(case, seed):
    matrix, eigenvalues = case
    samples = trace_samples(matrix.__matmul__, len(matrix), SAMPLES, np.random.default_rng(seed))
    # The first moment of the density is the trace over N.
    moments = Moments.from_samples(samples[:, None] / len(matrix), size=len(matrix), num_products=SAMPLES)
    assert_moments_agree(moments, eigenvalues, num_standard_errors=8)


@given(symmetric_matrices(spectra(min_size=2, max_size=12)), SEEDS)
def test_all_steps_of_lanczos_give_eigenvalues(case, seed):
    matrix, eigenvalues = case
    start = np.random.default_rng(seed).standard_normal(len(matrix))
    ritz = eigh_tridiagonal(*tridiagonal(matrix.__matmul__, start, len(matrix)), eigvals_only=True)
    distances = np.abs(ritz[:, None] - eigenvalues).min(axis=1)
    assert distances.max() <= 1e-9 * np.abs(eigenvalues).max()


@given(symmetric_matrices(spectra(min_size=4)), SEEDS)
def test_few_steps_stay_within_the_spectrum(case, seed):
    matrix, eigenvalues = case
    start = np.random.default_rng(seed).standard_normal(len(matrix))
    ritz = eigh_tridiagonal(*tridiagonal(matrix.__matmul__, start, 3), eigvals_only=True)
    slack = 1e-9 * np.abs(eigenvalues).max()
    assert eigenvalues[0] - slack <= ritz.min()
    assert ritz.max() <= eigenvalues[-1] + slack


@settings(deadline=None, max_examples=20)  # torch's first product takes longer than the 200 ms that are allowed
@given(networks(), SEEDS)
def test_trace_of_the_hessian_of_a_network(case, seed):
    """The same for networks with data in unequal batches, whose Hessian is known independently."""
    hessian = case.dense_hessian().detach().numpy()
    parameters = list(case.model.parameters())

    def product(vector):
        inputs, targets = (torch.cat(parts) for parts in zip(*case.data, strict=True))
        loss = case.loss_fn(case.model(inputs), targets)
        gradient = torch.nn.utils.parameters_to_vector(torch.autograd.grad(loss, parameters, create_graph=True))
        found = torch.autograd.grad(gradient @ torch.from_numpy(vector), parameters, materialize_grads=True)
        return torch.nn.utils.parameters_to_vector(found).numpy()

    samples = trace_samples(product, len(hessian), SAMPLES, np.random.default_rng(seed))
    moments = Moments.from_samples(samples[:, None] / len(hessian), size=len(hessian), num_products=SAMPLES)
    assert_moments_agree(moments, np.linalg.eigvalsh(hessian), num_standard_errors=8)
