"""Noise of gradients: against the gradients of single examples by torch.func, whatever the order and the batches."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from hessdens import as_operator, ggn_operator, hessian_operator
from hessdens.curvature import GradientNoise, gradient_noise
from hessdens.errors import NonFiniteError

LOSS = nn.CrossEntropyLoss()
ALL = 10**6  # as many parts as examples


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def examples(count=60, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 4, generator=generator, dtype=torch.float64).to(dtype)
    return inputs, torch.randint(3, (count,), generator=generator)


def batches(inputs, labels, *sizes):
    return list(zip(inputs.split(sizes), labels.split(sizes), strict=True))


def single_gradients(model, inputs, labels):
    """Return the gradient of each example, shape (n, N)."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters, x, y):
        return nn.functional.cross_entropy(functional_call(model, parameters, (x[None],)), y[None])

    parts = vmap(grad(loss), (None, 0, 0))(parameters, inputs, labels)
    return torch.cat([part.flatten(1) for part in parts.values()], dim=1).double()


def expected(gradients):
    """Return the norm of the mean, and its standard error: the root of the sum of those of its entries, squared."""
    return float(gradients.mean(0).norm()), float((gradients.var(0) / len(gradients)).sum().sqrt())


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("sizes", [(60,), (25, 25, 10), (1,) * 60])
def test_with_as_many_parts_as_examples_it_is_that_of_single_gradients(dtype, rtol, sizes):
    model, (inputs, labels) = network(dtype), examples(dtype=dtype)
    noise = gradient_noise(hessian_operator(model, LOSS, batches(inputs, labels, *sizes)), num_parts=ALL)
    norm, error = expected(single_gradients(model, inputs, labels))
    assert noise.norm == pytest.approx(norm, rel=rtol)
    assert noise.standard_error == pytest.approx(error, rel=rtol)
    assert noise.num_examples == 60


def test_with_fewer_parts_its_square_is_unbiased_in_any_order():
    """400 seeds, with labels in order: within 4 standard errors, of 1%, of the variance that single gradients have."""
    model, (inputs, labels) = network(), examples()
    order = labels.argsort()
    H = hessian_operator(model, LOSS, batches(inputs[order], labels[order], 30, 30))
    squares = np.array([gradient_noise(H, num_parts=6, seed=seed).standard_error ** 2 for seed in range(400)])
    exact = expected(single_gradients(model, inputs, labels))[1] ** 2
    error = squares.std() / len(squares) ** 0.5
    assert error < 0.03 * exact
    assert abs(squares.mean() - exact) < 4 * error
    assert 0 < squares.std() < (2 / 6) ** 0.5 * exact, "seeds differ, by no more than along one direction"


def test_examples_with_weights_count_as_much_as_these():
    """A mean over tokens that are not masked: sequences have unequal weights."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 6)).double()
    tokens = torch.randint(6, (40, 7), generator=torch.Generator().manual_seed(2))
    labels = tokens.masked_fill(torch.arange(7) > torch.arange(40)[:, None] % 5 + 1, -100)

    def loss(logits, labels):
        return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)

    def weight(batch):
        return int((batch[1] != -100).sum())

    H = hessian_operator(model, loss, [(tokens, labels)], num_examples=weight)
    weights = torch.tensor([float(weight((None, row))) for row in labels])[:, None].double()
    single = torch.stack([
        torch.cat([p.flatten() for p in torch.autograd.grad(loss(model(t[None]), y[None]), list(model.parameters()))])
        for t, y in zip(tokens, labels, strict=True)
    ])  # fmt: skip
    mean = (weights * single).sum(0) / weights.sum()
    error = ((weights * (single - mean)).square().sum() * 40 / 39).sqrt() / weights.sum()
    noise = gradient_noise(H, num_parts=ALL)
    assert noise.norm == pytest.approx(float(mean.norm()), rel=1e-10)
    assert noise.standard_error == pytest.approx(float(error), rel=1e-10)


def test_batches_that_are_not_to_be_cut_are_the_examples():
    model, (inputs, labels) = network(), examples()
    data = batches(inputs, labels, *[12] * 5)
    noise = gradient_noise(hessian_operator(model, LOSS, data, split_batches=False))
    means = single_gradients(model, inputs, labels).reshape(5, 12, -1).mean(1)
    assert noise.num_examples == 5
    assert noise.standard_error == pytest.approx(expected(means)[1], rel=1e-10)


def test_the_penalty_counts_in_the_norm_and_has_no_noise():
    model, (inputs, labels) = network(), examples()
    plain, decayed = (hessian_operator(model, LOSS, [(inputs, labels)], weight_decay=d) for d in (0.0, 0.5))
    assert gradient_noise(decayed).norm == pytest.approx(float(decayed.gradient().norm()), rel=1e-12)
    assert gradient_noise(decayed).standard_error == gradient_noise(plain).standard_error
    ggn = ggn_operator(model, LOSS, [(inputs, labels)])
    assert gradient_noise(ggn) == gradient_noise(plain)


def test_equal_examples_have_no_noise():
    inputs, labels = torch.ones(8, 4, dtype=torch.float64), torch.zeros(8, dtype=torch.int64)
    noise = gradient_noise(hessian_operator(network(), LOSS, [(inputs, labels)]))
    assert noise.standard_error < 1e-7 * noise.norm


def test_the_model_stays_as_it_is_and_the_random_state_too():
    model = network()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    H, state = hessian_operator(model, LOSS, [examples()]), torch.get_rng_state()
    gradient_noise(H)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert model[2].weight.grad is None


def test_what_is_refused():
    inputs, labels = examples()
    one = hessian_operator(network(), LOSS, [(inputs[:1], labels[:1])], split_batches=False)
    with pytest.raises(ValueError, match=r"over at least two batches, which are not to be cut .*; got 1"):
        gradient_noise(one)
    with pytest.raises(ValueError, match="over at least two examples; got 1"):
        gradient_noise(hessian_operator(network(), LOSS, [(inputs[:1], labels[:1])]))
    with pytest.raises(TypeError, match=r"H must be an operator of a model on one process.*; got a matrix or a func"):
        gradient_noise(as_operator(np.eye(3)))
    H = hessian_operator(model := network(), LOSS, [(inputs, labels)])
    for name in ("num_parts", "seed"):
        with pytest.raises(TypeError, match=f"{name} must be a whole number; got 1.5"):
            gradient_noise(H, **{name: 1.5})
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="The gradient must be finite"):
        gradient_noise(H)


def test_it_is_printed_with_its_error():
    assert str(GradientNoise(0.0111, 0.0794, 1797)) == "gradient: 0.0111, standard error 0.079 over 1,797 examples"
