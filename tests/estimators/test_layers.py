"""Moments of layers: against the exact eigenvalues of each diagonal block."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import as_operator, exact_spectrum, ggn_operator, hessian_operator, spectral_moments
from hessdens.estimators import layer_moments
from hessdens.testing import assert_moments_agree

INPUTS = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
DATA = [(INPUTS[:20], torch.arange(20) % 3), (INPUTS[20:], torch.arange(10) % 3)]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


@pytest.mark.parametrize("make", [hessian_operator, ggn_operator])
def test_every_module_against_the_exact_eigenvalues_of_its_block(make):
    model = network()
    found = layer_moments(make(model, F.cross_entropy, DATA), 5, num_probes=400, block_size=100)
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
    found = layer_moments(operator, 3, layers=layers, num_probes=4, seed=5, block_size=block_size)
    reference = layer_moments(operator, 3, layers=layers, num_probes=4, seed=5)
    whole = spectral_moments(operator, 3, method="skilling", num_probes=4, seed=5)
    for name in layers:
        torch.testing.assert_close(
            torch.tensor(found[name].samples), torch.tensor(reference[name].samples), rtol=1e-10, atol=1e-14
        )
    torch.testing.assert_close(torch.tensor(found["all"].samples), torch.tensor(whole.samples), rtol=1e-10, atol=1e-14)
    assert [found[name].size for name in layers] == [33, operator.size, 14]


def test_bad_input():
    operator = hessian_operator(network(), F.cross_entropy, DATA)
    with pytest.raises(TypeError, match=r"needs an operator that knows its parameters.*; got FunctionOperator"):
        layer_moments(as_operator(torch.eye(3)))
    with pytest.raises(ValueError, match="num_moments must be at least 1; got 0"):
        layer_moments(operator, 0)
    with pytest.raises(ValueError, match="block_size must be at least 1; got 0"):
        layer_moments(operator, block_size=0)
    with pytest.raises(ValueError, match="num_probes must be at least 2"):
        layer_moments(operator, num_probes=1)
    with pytest.raises(ValueError, match=r"'0.wieght' matches none. Near: .'0.weight'"):
        layer_moments(operator, layers={"first": "0.wieght"})
    with pytest.raises(ValueError, match=r"layers\['none'\] must name parameters of the operator"):
        layer_moments(operator, layers={"none": lambda name, size: False})
    with pytest.raises(ValueError, match="at least one layer; got none"):
        layer_moments(operator, layers={})


def test_shifted_operators_keep_their_layers():
    operator = hessian_operator(network(), F.cross_entropy, DATA)
    shifted = layer_moments(operator + 0.5 * operator.identity(), 1, num_probes=8, distribution="rademacher")
    for name, moments in layer_moments(operator, 1, num_probes=8, distribution="rademacher").items():
        np.testing.assert_allclose(shifted[name].values, moments.values + 0.5, rtol=1e-12)


def test_progress_counts_vectors(capsys):
    operator = hessian_operator(network(), F.cross_entropy, DATA)
    layer_moments(operator, 2, num_probes=4, block_size=5, progress=True)
    assert "12/12" in capsys.readouterr().err
