"""Moments of layers: against the exact eigenvalues of each diagonal block."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import as_operator, exact_spectrum, ggn_operator, hessian_operator, spectral_moments
from hessdens.linalg.operator import Wrapped
from hessdens.structure import block_densities, layer_moments
from hessdens.testing import assert_moments_agree

INPUTS = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
DATA = [(INPUTS[:20], torch.arange(20) % 3), (INPUTS[20:], torch.arange(10) % 3)]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


@pytest.mark.parametrize("make", [hessian_operator, ggn_operator])
def test_every_module_against_the_exact_eigenvalues_of_its_block(make):
    model = network()
    skilling = {"method": "skilling", "num_probes": 400, "block_size": 100}
    found = layer_moments(make(model, F.cross_entropy, DATA), 5, **skilling)
    assert list(found) == ["0", "2", "4"]
    assert {(moments.num_probes, moments.num_products) for moments in found.values()} == {(400, 1200)}
    for name, moments in found.items():
        block = make(model, F.cross_entropy, DATA, parameters=f"{name}.*")
        assert moments.size == block.size
        assert_moments_agree(moments, exact_spectrum(block))


@pytest.mark.parametrize("block_size", [1, 7, 100])
def test_chosen_layers_and_any_block_size(block_size):
    operator = hessian_operator(network(), F.cross_entropy, DATA)
    layers = {"ends": ["0.*", "4.bias"], "all": None, "biases": lambda name, size: name.endswith("bias")}
    found = layer_moments(operator, 3, layers=layers, method="skilling", num_probes=4, seed=5, block_size=block_size)
    reference = layer_moments(operator, 3, layers=layers, method="skilling", num_probes=4, seed=5)
    whole = spectral_moments(operator, 3, method="skilling", num_probes=4, seed=5)
    for name in layers:
        torch.testing.assert_close(
            torch.tensor(found[name].samples), torch.tensor(reference[name].samples), rtol=1e-10, atol=1e-14
        )
    torch.testing.assert_close(torch.tensor(found["all"].samples), torch.tensor(whole.samples), rtol=1e-10, atol=1e-14)
    assert [found[name].size for name in layers] == [33, operator.size, 14]


def test_bad_input():
    operator = hessian_operator(network(), F.cross_entropy, DATA)
    with pytest.raises(TypeError, match=r"needs an operator that knows its parameters.*; got a matrix or a function"):
        layer_moments(as_operator(torch.eye(3)))
    with pytest.raises(ValueError, match="num_moments must be at least 1; got 0"):
        layer_moments(operator, 0)
    with pytest.raises(ValueError, match="block_size must be at least 1; got 0"):
        layer_moments(operator, block_size=0)
    with pytest.raises(ValueError, match="num_probes must be at least 2"):
        layer_moments(operator, method="skilling", num_probes=1)
    with pytest.raises(ValueError, match=r"'0.wieght' matches none. Near: .'0.weight'"):
        layer_moments(operator, layers={"first": "0.wieght"})
    with pytest.raises(ValueError, match=r"parts\['none'\] must name parameters of the operator"):
        layer_moments(operator, layers={"none": lambda name, size: False})
    with pytest.raises(ValueError, match="at least one part; got none"):
        layer_moments(operator, layers={})


def test_shifted_operators_keep_their_layers():
    operator = hessian_operator(network(), F.cross_entropy, DATA)
    shifted = layer_moments(
        operator + 0.5 * operator.identity(), 1, method="skilling", num_probes=8, distribution="rademacher"
    )
    for name, moments in layer_moments(operator, 1, method="skilling", num_probes=8, distribution="rademacher").items():
        np.testing.assert_allclose(shifted[name].values, moments.values + 0.5, rtol=1e-12)


def test_progress_counts_vectors(capsys):
    operator = hessian_operator(network(), F.cross_entropy, DATA)
    layer_moments(operator, 2, method="skilling", num_probes=4, block_size=5, progress=True)
    assert "12/12" in capsys.readouterr().err


@pytest.mark.parametrize("make", [hessian_operator, ggn_operator])
def test_deflated_moments_of_every_module(make):
    model = network()
    found = layer_moments(make(model, F.cross_entropy, DATA), 3, max_products=24)
    plain = layer_moments(make(model, F.cross_entropy, DATA), 3, method="skilling", max_products=24)
    for name, moments in found.items():
        exact = exact_spectrum(make(model, F.cross_entropy, DATA, parameters=f"{name}.*"))
        assert_moments_agree(moments, exact)
        assert moments.num_products <= 24
    assert sum(m.standard_errors[1] for m in found.values()) < 0.5 * sum(m.standard_errors[1] for m in plain.values())


def test_rtol_is_met_by_each_layer():
    found = layer_moments(hessian_operator(network(), F.cross_entropy, DATA), 2, rtol=0.05)
    for moments in found.values():
        assert moments.standard_errors[1] < 0.075 * moments.values[1]


class Counting(Wrapped):
    """An operator that counts its products."""

    count = 0

    def _matmat(self, V):
        self.count += V.shape[1]
        return self._operator.matmat(V)


@pytest.mark.parametrize("method", ["deflated", "skilling"])
def test_moments_go_on_from_finished_work(method, tmp_path):
    H, options = hessian_operator(network(), F.cross_entropy, DATA), {"method": method, "max_products": 12}
    layers = {"a/b": "0.*", "..": "2.*"}
    first = layer_moments(H, 2, layers=layers, checkpoint=tmp_path / "kept", **options)
    again = Counting(H)
    second = layer_moments(again, 2, layers=layers, checkpoint=tmp_path / "kept", **options)
    for name, moments in first.items():
        np.testing.assert_array_equal(second[name].samples, moments.samples)
    assert again.count <= 1 + len(layers), "it looks whether the operator is the same, and makes no other product"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(ValueError, match=r"checkpoint must be of the same run; in .* seed is 0 there and 1 here"):
        layer_moments(H, 2, layers=layers, checkpoint=tmp_path / "kept", seed=1, **options)


def test_densities_go_on_from_finished_work(tmp_path):
    H = hessian_operator(network(), F.cross_entropy, DATA)
    first = block_densities(H, max_products=20, checkpoint=tmp_path)
    again = Counting(H)
    second = block_densities(again, max_products=20, checkpoint=tmp_path)
    for name, density in first.items():
        np.testing.assert_array_equal(second[name].nodes(), density.nodes())
    assert again.count <= 4
    with pytest.raises(ValueError, match=r"checkpoint must be of the same run; in .* function is 'block_densities' th"):
        layer_moments(H, checkpoint=tmp_path)


def test_densities_of_blocks():
    model = network()
    H = hessian_operator(model, F.cross_entropy, DATA)
    found = block_densities(H, {"ends": ["0.*", "4.*"], "rows": {"2.weight": slice(0, 3)}}, num_steps=20, num_probes=3)
    ends = exact_spectrum(hessian_operator(model, F.cross_entropy, DATA, parameters=["0.*", "4.*"]))
    np.testing.assert_allclose(found["ends"].eigenvalues_found[-3:], ends.eigenvalues[-3:], rtol=1e-6)
    dense = (H @ torch.eye(H.size, dtype=torch.float64)).numpy()[30:48, 30:48]
    np.testing.assert_allclose(found["rows"].moments(1), np.trace(dense) / 18, rtol=1e-6)
