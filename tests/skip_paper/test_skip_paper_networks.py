"""The networks of section 2.3: parameter counts and an obvious twin of the forward pass."""

import numpy as np
import pytest
import torch
from skip_paper.networks.skip_network import ARCHITECTURES, SkipNetwork, count_parameters

SMALL = {"depth": 6, "width": 8, "seed": 3}


@pytest.mark.parametrize(
    ("inputs", "depth", "width", "expected"),
    [(3072, 20, 128, 709_652), (3072, 30, 128, 874_772), (128, 10, 16, 4_852), (128, 10, 32, 14_292)],
)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_parameter_counts_of_the_paper(architecture, inputs, depth, width, expected):
    assert count_parameters(SkipNetwork(architecture, inputs, 20, depth=depth, width=width, seed=0)) == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_forward_follows_the_equations(architecture):
    """x_{l+1} = f(W_l x_l + b_{l+1}) + x_l + 1/(l-1) sum_k Q_k x_k, one example and one layer at a time."""
    network = SkipNetwork(architecture, 5, 3, **SMALL).double()
    for layer in network.hidden:
        torch.nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(0))
    inputs = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for row, logits in zip(inputs, network(inputs), strict=True):
        x = {1: torch.relu(network.hidden[0].weight @ row + network.hidden[0].bias)}
        for l in range(1, 6):  # noqa: E741
            x[l + 1] = torch.relu(network.hidden[l].weight @ x[l] + network.hidden[l].bias)
            if architecture != "plain":
                x[l + 1] = x[l + 1] + x[l]
            if architecture == "hyper-residual" and l >= 2:
                Q = {k: torch.cat([network.skip_vectors[k - 1]] * 4, dim=1) for k in range(1, l)}
                x[l + 1] = x[l + 1] + sum(Q[k] @ x[k] for k in range(1, l)) / (l - 1)
        expected = network.output.weight @ x[6] + network.output.bias
        torch.testing.assert_close(logits, expected)


def test_skip_vectors_are_orthonormal_and_differ_by_layer():
    vectors = SkipNetwork("hyper-residual", 5, 3, **SMALL).skip_vectors.double()
    assert vectors.shape == (4, 8, 2)
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(2).double().expand(4, 2, 2), atol=1e-6, rtol=0)
    assert (vectors[0] - vectors[1]).norm() > 0.1


def test_start_is_glorot_normal_scaled_and_from_the_seed_alone():
    state = torch.get_rng_state()
    network = SkipNetwork("plain", 3072, 20, depth=3, width=128, seed=0, hidden_start=0.25)
    assert torch.equal(state, torch.get_rng_state())
    deviations = [float(layer.weight.detach().std()) for layer in [*network.hidden, network.output]]
    expected = [np.sqrt(2 / (3072 + 128)), 0.25 * np.sqrt(2 / 256), 0.25 * np.sqrt(2 / 256), np.sqrt(2 / 148)]
    np.testing.assert_allclose(deviations, expected, rtol=0.05)
    again = SkipNetwork("residual", 3072, 20, depth=3, width=128, seed=0, hidden_start=0.25)
    other = SkipNetwork("plain", 3072, 20, depth=3, width=128, seed=1, hidden_start=0.25)
    assert torch.equal(network.hidden[1].weight, again.hidden[1].weight)
    assert not torch.equal(network.hidden[1].weight, other.hidden[1].weight)
    assert not network.hidden[1].bias.any()


def test_residual_skips_are_one_matrix_or_one_a_layer():
    shared, apart = (
        SkipNetwork("residual", 5, 3, num_skip_vectors=8, shared_skips=shared, **SMALL) for shared in (True, False)
    )
    assert shared.skip_vectors.shape == (1, 8, 8)
    assert apart.skip_vectors.shape == (5, 8, 8)
    inputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    for network, first in ((shared, [0, 0, 0, 0, 0]), (apart, [0, 1, 2, 3, 4])):
        x = torch.relu(network.hidden[0](inputs))
        for l, index in enumerate(first, 1):  # noqa: E741
            x = torch.relu(network.hidden[l](x)) + x @ network.skip_vectors[index].mT
        torch.testing.assert_close(network(inputs), network.output(x))


def test_truncated_start_has_no_weight_beyond_two_deviations():
    network = SkipNetwork("plain", 3072, 20, depth=3, width=128, seed=0, hidden_start=0.5, truncated=True)
    for layer, scale in zip(network.hidden, (np.sqrt(2 / 3200), 0.5 / np.sqrt(128), 0.5 / np.sqrt(128)), strict=True):
        weights = layer.weight.detach().numpy() / scale
        assert np.abs(weights).max() <= 2 * (1 + 1e-6)
        assert weights.std() == pytest.approx(0.8796, rel=0.02)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"architecture must be one of plain, .*; got 'dense'"):
        SkipNetwork("dense", 5, 3, **SMALL)
    with pytest.raises(ValueError, match="depth and width must be at least 1; got 0 and 8"):
        SkipNetwork("plain", 5, 3, depth=0, width=8, seed=0)
    with pytest.raises(ValueError, match="num_skip_vectors must divide width=8; got 3"):
        SkipNetwork("hyper-residual", 5, 3, num_skip_vectors=3, **SMALL)
