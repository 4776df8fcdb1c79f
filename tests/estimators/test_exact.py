"""Exact spectra: known eigenvalues are recovered; what does not fit is refused before it starts."""

import contextlib

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hessdens import as_operator, exact_spectrum
from hessdens.estimators import exact
from hessdens.estimators.exact import dense_matrix
from hessdens.estimators.run import Run
from hessdens.testing import rotated, symmetric_matrices


@given(symmetric_matrices(), st.integers(1, 40))
def test_eigenvalues_are_recovered(case, block_size):
    matrix, eigenvalues = case
    spectrum = exact_spectrum(matrix, block_size=block_size)
    np.testing.assert_allclose(
        spectrum.eigenvalues, eigenvalues, atol=1e-12 * (1e-300 + np.abs(eigenvalues).max()) * 50
    )


def test_float32_products_give_float64_eigenvalues():
    eigenvalues = np.linspace(-1, 2, 50)
    matrix = torch.from_numpy(rotated(eigenvalues, np.random.default_rng(0))).float()
    spectrum = exact_spectrum(matrix)
    assert spectrum.eigenvalues.dtype == np.float64
    np.testing.assert_allclose(spectrum.eigenvalues, eigenvalues, atol=1e-6)


def test_matrix_is_symmetrised_across_tiles(monkeypatch):
    matrix = np.random.default_rng(0).standard_normal((10, 10))
    operator = as_operator(matrix, check_symmetric=False)
    for tile in (exact.TILE, 3):
        monkeypatch.setattr(exact, "TILE", tile)
        whole = dense_matrix(Run(operator, block_size=4))
        np.testing.assert_allclose(whole.numpy(), (matrix + matrix.T) / 2, rtol=1e-15)


def test_one_eigenvalue():
    assert exact_spectrum(np.array([[3.0]])).eigenvalues.tolist() == [3.0]


def test_above_max_size_and_memory(monkeypatch):
    operator = as_operator(lambda V: V, size=100_000, check_symmetric=False)
    with pytest.raises(
        ValueError, match=r"max_size=20,000 at most; got 100,000, which needs about 156\.5 GiB of memory"
    ):
        exact_spectrum(operator)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 2**30})())
    with pytest.raises(
        MemoryError, match=r"exact_spectrum of 100,000 eigenvalues needs about 156\.5 GiB; 1\.0 GiB are free"
    ):
        exact_spectrum(operator, max_size=200_000)


def test_bad_entries_and_blocks():
    operator = as_operator(lambda V: V * torch.inf, size=2, check_symmetric=False)
    with pytest.raises(ValueError, match="must have finite entries; its matrix holds values that are not"):
        exact_spectrum(operator)
    with pytest.raises(ValueError, match="block_size must be at least 1; got 0"):
        exact_spectrum(np.eye(2), block_size=0)


def test_progress_goes_to_standard_error(capsys):
    exact_spectrum(np.eye(3), progress=True)
    assert "3/3" in capsys.readouterr().err


@pytest.mark.gpu
def test_exact_spectrum_on_cuda():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    matrix = torch.from_numpy(rotated(np.linspace(-1, 2, 50), np.random.default_rng(0)))
    np.testing.assert_allclose(exact_spectrum(matrix.cuda()).eigenvalues, np.linspace(-1, 2, 50), atol=1e-12)


def test_a_matrix_that_just_fits(monkeypatch):
    """2.1 matrices of 8 bytes an entry."""
    operator = as_operator(lambda V: V, size=10, check_symmetric=False)
    for free, fits in ((1680, True), (1679, False)):
        monkeypatch.setattr(psutil, "virtual_memory", lambda free=free: type("Memory", (), {"available": free})())
        with contextlib.nullcontext() if fits else pytest.raises(MemoryError, match=r"of 10 eig.*about 1\.64 KiB"):
            exact.check_size(operator, max_size=10)
