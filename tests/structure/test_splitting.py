"""Two halves of a Hessian against dense matrices."""

import numpy as np
import pytest
import torch
from torch import nn

from hessdens import exact_spectrum, ggn_operator, hessian_operator
from hessdens.linalg.operator import FunctionOperator
from hessdens.structure import curvature_halves

torch.manual_seed(0)
MODEL = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
DATA = [(torch.randn(9, 4).double(), torch.arange(9) % 3)]
H, G = (make(MODEL, nn.CrossEntropyLoss(), DATA) for make in (hessian_operator, ggn_operator))


def test_parts_of_outliers_are_those_of_exact_eigenvectors():
    halves = curvature_halves(H, G, max_products=200)
    dense = [(A @ torch.eye(A.size, dtype=torch.float64)).numpy() for A in (H, G)]
    values, vectors = np.linalg.eigh((dense[0] + dense[0].T) / 2)
    assert len(halves.outliers) > 3
    for value, part, bound in zip(halves.outliers, halves.parts, halves.part_errors, strict=True):
        nearest = vectors[:, np.argmin(np.abs(values - value))]
        assert abs(nearest @ dense[1] @ nearest - part) <= bound + 1e-12
    assert (np.diff(np.abs(halves.outliers)) <= 0).all()


def test_densities_are_those_of_the_three_matrices():
    halves = curvature_halves(H, G, max_products=200)
    for density, operator in ((halves.hessian, H), (halves.gauss_newton, G), (halves.rest, H - G)):
        exact = exact_spectrum(operator)
        np.testing.assert_allclose(density.moments(2), exact.moments(2), rtol=0.4)
        assert density.pairs is None
    assert halves.num_products >= 4 * halves.hessian.num_products


def test_the_other_half_is_made_from_the_problem():
    halves, both = curvature_halves(H, max_products=60), curvature_halves(H, G, max_products=60)
    np.testing.assert_allclose(halves.outliers, both.outliers, rtol=1e-9)
    np.testing.assert_allclose(halves.parts, both.parts, rtol=1e-6, atol=1e-9)
    with pytest.raises(TypeError, match="needs G where H is not from hessian_operator; got the Gauss-Newton matrix"):
        curvature_halves(G)
    with pytest.raises(TypeError, match="needs G where H is not from hessian_operator; got a matrix or a function"):
        curvature_halves(np.eye(4))


def test_halves_go_on_from_finished_work(tmp_path, monkeypatch):
    first = curvature_halves(H, G, max_products=40, checkpoint=tmp_path)
    counts, products = [], type(H)._products_of_all

    def counted(self, probes):
        counts.append(len(probes))
        return products(self, probes)

    monkeypatch.setattr(type(H), "_products_of_all", counted)
    second = curvature_halves(H, G, max_products=40, checkpoint=tmp_path)
    assert sum(counts) <= 8, "it looks whether operators are the same, and makes no other product"
    np.testing.assert_array_equal(second.parts, first.parts)
    np.testing.assert_array_equal(second.rest.nodes(), first.rest.nodes())
    with pytest.raises(ValueError, match=r"checkpoint must be of the same run; in .* seed is 0 there and 1 here"):
        curvature_halves(H, G, seed=1, checkpoint=tmp_path)


def test_what_is_refused():
    with pytest.raises(ValueError, match="H and G must be matrices of the same parameters"):
        curvature_halves(H, ggn_operator(MODEL, nn.CrossEntropyLoss(), DATA, parameters="0.*"))
    single = FunctionOperator(torch.clone, size=H.size, dtype=torch.float32, device=torch.device("cpu"))
    with pytest.raises(ValueError, match="H and G must be matrices of the same parameters"):
        curvature_halves(H, single)
