"""Measurements during training against definitions written out for one network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skip_paper.measures import during_training
from skip_paper.networks.specification import NetworkSpec
from skip_paper.networks.stacked import StackedNetworks
from torch.nn import functional as F  # noqa: N812

KINDS = [
    NetworkSpec("plain", 4, 8),
    NetworkSpec("residual", 4, 8),
    NetworkSpec("hyper-residual", 4, 8),
    NetworkSpec("residual", 4, 8, num_skip_vectors=2),
    NetworkSpec("residual", 4, 8, num_skip_vectors=2, shared_skips=False),
]


def biased(network):
    """Let biases be random: some units are then dead."""
    for layer in network.hidden:
        torch.nn.init.normal_(layer.bias, std=2.0, generator=torch.Generator().manual_seed(2))
    return network


def responses_of(network, x):
    """The responses x_l and the outputs of the ReLU of each layer, by the equations of section 2.3."""
    found, rectified = [], []
    for l, layer in enumerate(network.hidden):  # noqa: E741
        y = torch.relu(layer(x))
        after = y
        if l and network.architecture == "residual":
            identity = not network.skip_vectors.numel()
            vectors = None if identity else network.skip_vectors[l - 1 if len(network.skip_vectors) > 1 else 0]
            after = y + (x if identity else x @ torch.cat([vectors] * 4, dim=1).mT)
        elif l and network.architecture == "hyper-residual":
            after = y + x
            if l >= 2:
                after = after + sum(network._skip(k, found[k - 1]) for k in range(1, l)) / (l - 1)
        found.append(after)
        rectified.append(y)
        x = after
    return found, rectified


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_measurements_are_those_of_one_network(kind):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 12, generator=generator).double(), torch.randint(5, (60,), generator=generator)
    networks = [biased(kind.build(12, 5, seed).double()) for seed in (0, 1)]
    found = during_training.measure(StackedNetworks(networks), (x, y), (x[:20], y[:20]))
    for index, network in enumerate(networks):
        assert found["train_accuracy"][index] == pytest.approx((network(x).argmax(1) == y).double().mean().item())
        assert found["test_accuracy"][index] == pytest.approx(
            (network(x[:20]).argmax(1) == y[:20]).double().mean().item()
        )
        weights = [layer.weight.detach().numpy() for layer in network.hidden]
        losses = F.cross_entropy(network(x), y, reduction="none")
        assert found["train_loss"][index] == pytest.approx(losses.mean().item())
        np.testing.assert_allclose(found["weight_norm"][index], [np.linalg.norm(w, axis=1).mean() for w in weights])
        pairs = np.triu_indices(8, 1)
        np.testing.assert_allclose(found["overlap"][index], [np.corrcoef(w)[pairs].mean() for w in weights])
        np.testing.assert_allclose(found["bias"][index], [b.bias.detach().mean() for b in network.hidden])
        layers, rectified = responses_of(network, x)
        explained = []
        for response in layers:
            values = np.linalg.eigvalsh(np.cov(response.detach().numpy().T))
            explained.append(values[-3:].sum() / values.sum())
        np.testing.assert_allclose(found["variance_explained"][index], explained)
        for name, outputs in (("zero_probability", layers), ("zero_rectified", rectified)):
            np.testing.assert_allclose(found[name][index], [(r == 0).double().mean().item() for r in outputs])
        dead = [(r == 0).all(dim=0).double().mean().item() for r in rectified]
        np.testing.assert_allclose(found["dead_units"][index], dead)
        for example in range(3):
            alone, _ = responses_of(network, x[example : example + 1])
            loss = F.cross_entropy(network.output(alone[-1]), y[example : example + 1])
            gradients = torch.autograd.grad(loss, alone)
            one = during_training.measure(
                StackedNetworks([network]), (x[example : example + 1], y[example : example + 1]), (x, y)
            )
            expected = [g.norm().item() / 500 for g in gradients]  # of the mean over a batch
            np.testing.assert_allclose(one["gradient_norm"][0], expected, rtol=1e-10)


def test_gradient_norms_are_means_over_examples():
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(7, 12, generator=generator).double(), torch.randint(5, (7,), generator=generator)
    stacked = StackedNetworks([KINDS[1].build(12, 5, 0).double()])
    together = during_training.measure(stacked, (x, y), (x, y))["gradient_norm"]
    each = [during_training.measure(stacked, (x[i : i + 1], y[i : i + 1]), (x, y))["gradient_norm"] for i in range(7)]
    np.testing.assert_allclose(together, np.mean(each, axis=0), rtol=1e-10)


def test_known_overlaps_and_variances():
    rows = torch.tensor([[[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]], [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]])
    np.testing.assert_allclose(during_training.overlaps(rows), [1, -1], atol=1e-6)
    line = torch.arange(10.0).view(1, 10, 1) * torch.ones(8)
    assert during_training.variance_explained(line).item() == pytest.approx(1)
    assert during_training.variance_explained(torch.zeros(1, 10, 8)).isnan().all()


def test_gradients_of_a_normalised_layer_are_those_of_training():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 12, generator=generator).double(), torch.randint(5, (60,), generator=generator)
    network = replace(KINDS[0], batch_norm_layer=3).build(12, 5, 0).double().train()
    found = during_training.measure(StackedNetworks([network]), (x, y), (x, y))["gradient_norm"][0]
    responses = []
    for layer in (0, 1):
        network.hidden[layer + 1].register_forward_pre_hook(lambda _, inputs: responses.append(inputs[0]))
    loss = F.cross_entropy(network(x), y, reduction="sum")
    expected = [g.norm(dim=1).mean().item() / 500 for g in torch.autograd.grad(loss, responses)]
    np.testing.assert_allclose(found[:2], expected, rtol=1e-10)


def test_batch_statistics_are_left_alone():
    kind = replace(KINDS[0], batch_norm_layer=2)
    stacked = StackedNetworks([kind.build(12, 5, 0)])
    before = {name: buffer.clone() for name, buffer in stacked.buffers.items()}
    during_training.measure(
        stacked,
        (torch.randn(9, 12), torch.zeros(9, dtype=torch.int64)),
        (torch.randn(9, 12), torch.zeros(9, dtype=torch.int64)),
    )
    for name, buffer in stacked.buffers.items():
        assert torch.equal(buffer, before[name])
    assert all(parameter.grad is None for parameter in stacked.parameters.values())
