"""Fisher matrices: against their definitions from single gradients, and the Gauss-Newton matrix where they agree."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, fisher_operator, ggn_operator
from hessdens.curvature.fisher import uniforms
from hessdens.testing import networks

N = 11
INPUTS = torch.randn(N, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CLASSES = torch.arange(N) % 3
NUMBERS = torch.randn(N, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
BITS = (NUMBERS > 0).double()
LOSSES = {
    "cross-entropy": (nn.CrossEntropyLoss(), CLASSES),
    "log-probabilities": (nn.NLLLoss(), CLASSES),
    "squared error": (nn.MSELoss(), NUMBERS),
    "binary": (nn.BCEWithLogitsLoss(), BITS),
}


def network(*last):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), *last).double()


def dense(operator):
    return operator @ torch.eye(operator.size, dtype=operator.dtype)


def case(name):
    loss, targets = LOSSES[name]
    return network(*([nn.LogSoftmax(1)] if name == "log-probabilities" else [])), loss, targets


def flat_gradient(model, value):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()), retain_graph=True)])


def mean_of_outer_products(model, losses, weights):
    gradients = torch.stack([flat_gradient(model, value) for value in losses])
    return gradients.T @ (weights[:, None] * gradients)


@pytest.mark.parametrize("name", LOSSES)
def test_empirical_by_definition(name):
    model, loss, targets = case(name)
    losses = [loss(model(INPUTS[i : i + 1]), targets[i : i + 1]) for i in range(N)]
    expected = mean_of_outer_products(model, losses, torch.full((N,), 1 / N, dtype=torch.float64))
    data = [(INPUTS[:6], targets[:6]), (INPUTS[6:], targets[6:])]
    for mode in fisher_operator(model, loss, data, kind="empirical").modes:
        plan = Plan(mode, examples_per_block=4, probes_per_block=10)
        found = dense(fisher_operator(model, loss, data, kind="empirical", plan=plan))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", LOSSES)
def test_exact_by_definition(name):
    """The mean over examples of the expectation over labels, written out; for numbers by E[u u^T] = 2 a number."""
    model, loss, targets = case(name)
    z = model(INPUTS)
    if name in ("cross-entropy", "log-probabilities"):
        logs = z.log_softmax(1)
        losses, weights = -logs.flatten(), logs.detach().exp().flatten() / N
    elif name == "binary":
        p = z.detach().sigmoid()
        losses = torch.cat([F.softplus(-z).flatten(), F.softplus(z).flatten()])
        weights = torch.cat([p.flatten(), 1 - p.flatten()]) / (3 * N)
    else:
        losses, weights = z.flatten(), torch.full((3 * N,), 2 / (3 * N), dtype=torch.float64)
    expected = mean_of_outer_products(model, losses, weights)
    found = dense(fisher_operator(model, loss, [(INPUTS, targets)]))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", LOSSES)
def test_monte_carlo_has_the_exact_matrix_as_its_mean(name):
    model, loss, targets = case(name)
    exact = dense(fisher_operator(model, loss, [(INPUTS, targets)]))
    drawn = torch.stack(
        [
            dense(fisher_operator(model, loss, [(INPUTS, targets)], kind="monte-carlo", num_samples=20, seed=seed))
            for seed in range(30)
        ]
    )
    errors = drawn.std(dim=0) / 30**0.5
    deviations = ((drawn.mean(dim=0) - exact) / errors.clamp_min(1e-12))[exact.abs() > 1e-6]
    assert float(deviations.abs().max()) < 5.5
    assert float(deviations.square().mean()) < 5, "few degrees of freedom, hence not near 1"
    assert float(errors.max()) > 1e-4, "drawn matrices differ"


@settings(max_examples=20)
@given(networks(), st.integers(1, 6), st.integers(1, 4))
def test_monte_carlo_is_one_matrix_whatever_the_blocks_and_modes(case, examples_per_block, probes_per_block):
    def matrix(plan):
        return dense(fisher_operator(case.model, case.loss_fn, case.data, kind="monte-carlo", seed=3, plan=plan))

    one, other = (
        matrix(Plan("feedforward")),
        matrix(Plan("reverse-over-reverse", examples_per_block, probes_per_block)),
    )
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11 * float(1 + one.abs().max()))


def test_masked_tokens():
    """Classes in dimension 1, tokens in dimension 2, targets of -100 left out: one prediction a token that counts."""
    model = nn.Linear(4, 3).double()
    tokens = torch.randn(5, 6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    targets = torch.arange(30).reshape(5, 6) % 3
    targets[:, 4:] = -100
    targets[3:, 1:] = -100
    kept = targets != -100
    keywords = {"num_examples": lambda batch: int((batch[1] != -100).sum()), "plan": Plan(examples_per_block=2)}
    for kind in ("exact", "empirical"):
        found = fisher_operator(
            model, F.cross_entropy, [(tokens, targets)], kind=kind,
            forward=lambda model, batch: (model(batch[0]).transpose(1, 2), batch[1]), **keywords,
        )  # fmt: skip
        rows = fisher_operator(model, F.cross_entropy, [(tokens[kept], targets[kept])], kind=kind)
        torch.testing.assert_close(dense(found), dense(rows), rtol=1e-10, atol=1e-13)
    exact, drawn = (
        fisher_operator(
            model, F.cross_entropy, [(tokens, targets)], kind=kind, num_samples=2_000,
            forward=lambda model, batch: (model(batch[0]).transpose(1, 2), batch[1]), **keywords,
        )
        for kind in ("exact", "monte-carlo")
    )  # fmt: skip
    assert float((dense(exact) - dense(drawn)).norm() / dense(exact).norm()) < 0.05


def test_uniforms_are_uniform_and_independent_of_the_block():
    keys = torch.arange(1000) * 7919 + 5
    shape = torch.Size([1000, 50])
    u, other = uniforms(keys, 2, shape)
    assert 0 < float(u.min()) < float(u.max()) < 1
    histogram = torch.histc(u, 20, 0, 1) - 2500
    assert float(histogram.square().sum() / 2500) < 45, "chi-squared with 19 degrees of freedom"
    for one, two in ((u[:-1], u[1:]), (u, other)):
        correlation = torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1]
        assert abs(float(correlation)) < 5 / 50_000**0.5
    assert torch.equal(uniforms(keys[300:400], 2, torch.Size([100, 50])), torch.stack([u, other])[:, 300:400])
    assert not torch.equal(u, other)


def test_equals_the_gauss_newton_matrix():
    for name in ("cross-entropy", "squared error", "binary"):
        model, loss, targets = case(name)
        data = [(INPUTS, targets)]
        torch.testing.assert_close(
            dense(fisher_operator(model, loss, data)), dense(ggn_operator(model, loss, data)), rtol=1e-12, atol=0
        )


def test_bad_input():
    def refuse(match, loss_fn=F.cross_entropy, model=None, targets=CLASSES, **keywords):
        with pytest.raises(ValueError, match=match):
            fisher_operator(model or network(), loss_fn, [(INPUTS, targets)], **keywords)

    refuse("kind must be one of .*; got 'true'", kind="true")
    refuse("num_samples must be at least 1; got 0", kind="monte-carlo", num_samples=0)
    needs = "needs a negative log-likelihood: nn.CrossEntropyLoss.* got {}. Use ggn_operator, or kind='empirical'"
    refuse(needs.format("CrossEntropyLoss"), nn.CrossEntropyLoss(label_smoothing=0.1))
    refuse(needs.format("HuberLoss"), nn.HuberLoss(), targets=NUMBERS, kind="monte-carlo")
    refuse(needs.format("<lambda>"), lambda z, t: F.cross_entropy(z, t))
    refuse(
        "needs outputs that are one tensor with a row for each example; got dict",
        lambda z, t: F.cross_entropy(z["logits"], t),
        forward=lambda model, batch: ({"logits": model(batch[0])}, batch[1]),
        kind="empirical",
    )
    weighted = nn.CrossEntropyLoss(weight=torch.ones(3, dtype=torch.float64))
    refuse(needs.format("CrossEntropyLoss"), weighted)
    assert fisher_operator(network(), nn.HuberLoss(), [(INPUTS, NUMBERS)], kind="empirical").size > 0


@pytest.mark.parametrize(
    ("loss_fn", "model"),
    [(F.l1_loss, network()), (F.nll_loss, network(nn.LogSoftmax(1))), (lambda z, t: z.mean(), network())],
    ids=["absolute error", "log-probabilities", "loss as output"],
)
def test_gauss_newton_of_a_loss_that_is_linear_in_the_outputs(loss_fn, model):
    targets = NUMBERS if loss_fn is F.l1_loss else CLASSES
    with pytest.raises(ValueError, match="needs a loss with curvature in the outputs; this one is linear"):
        ggn_operator(model, loss_fn, [(INPUTS, targets)])


def test_gauss_newton_of_outputs_that_are_not_tensors():
    with pytest.raises(ValueError, match=r"made of floating-point tensors only; got str, torch\.float64"):
        ggn_operator(
            network(), lambda z, t: F.cross_entropy(z[0], t), [(INPUTS, CLASSES)],
            forward=lambda model, batch: ((model(batch[0]), "logits"), batch[1]),
        )  # fmt: skip


def test_empirical_matrix_of_another_loss_needs_equal_weights():
    def loss_fn(outputs, targets):
        return F.cross_entropy(outputs, targets, ignore_index=-1)

    labels = CLASSES.masked_fill(CLASSES == 2, -1)
    options = {"kind": "empirical", "num_examples": lambda batch: int((batch[1] != -1).sum())}
    with pytest.raises(
        ValueError, match=r"of loss_fn needs the same weight for all examples; num_examples gives 0 and 1"
    ):
        fisher_operator(network(), loss_fn, [(INPUTS, labels)], **options)
    known = nn.CrossEntropyLoss(ignore_index=-1)
    few, whole = (
        fisher_operator(network(), known, [(INPUTS, labels)], **options, plan=Plan(examples_per_block=block))
        for block in (2, None)
    )
    vector = torch.ones(few.size, dtype=torch.float64)
    torch.testing.assert_close(few @ vector, whole @ vector)


def test_empirical_matrix_of_whole_batches_needs_a_mean_of_rows():
    labels = CLASSES.clone()
    labels[7:] = -100
    options = {"kind": "empirical", "split_batches": False, "num_examples": lambda batch: int((batch[1] >= 0).sum())}
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    with pytest.raises(ValueError, match="a mean over the rows of the outputs; this loss has other weights"):
        fisher_operator(network(), smoothed, [(INPUTS, labels)], **options)
    whole = fisher_operator(network(), smoothed, [(INPUTS, CLASSES)], **options)
    cut = fisher_operator(network(), smoothed, [(INPUTS, CLASSES)], kind="empirical")
    torch.testing.assert_close(dense(whole), dense(cut))


def test_losses_need_no_hash():
    @dataclasses.dataclass
    class Smoothed:
        smoothing: float

        def __call__(self, z, t):
            return F.cross_entropy(z, t, label_smoothing=self.smoothing)

    found = fisher_operator(network(), Smoothed(0.1), [(INPUTS, CLASSES)], kind="empirical")
    other = fisher_operator(network(), nn.CrossEntropyLoss(label_smoothing=0.1), [(INPUTS, CLASSES)], kind="empirical")
    torch.testing.assert_close(dense(found), dense(other))


def test_labels_are_drawn_for_each_example_of_any_batch():
    def matrix(data, **options):
        return dense(fisher_operator(network(), F.cross_entropy, data, kind="monte-carlo", **options))

    scaled = [{"scale": torch.tensor(1.0), "x": INPUTS, "y": CLASSES}]
    found = matrix(scaled, forward=lambda model, batch: (batch["scale"] * model(batch["x"]), batch["y"]))
    torch.testing.assert_close(found, matrix([(INPUTS, CLASSES)]))
    whole = {"num_examples": lambda batch: 1, "split_batches": False}
    with pytest.raises(ValueError, match=r"as many rows for each example; got \(\) for 4"):
        matrix([(INPUTS[0], CLASSES[0])], **whole)
    with pytest.raises(ValueError, match="A batch must hold a tensor whose first dimension counts the examples"):
        matrix([{INPUTS}], forward=lambda model, batch: (model(*batch), CLASSES), **whole)
