"""The model as it is: precision, autocast, memory that runs out, dictionaries; and errors that name the module."""

import sys
import warnings

import numpy as np
import pytest
import torch
from curvature_cases import DATA as SMALL
from curvature_cases import Greedy, batches, dense, linear, narrow_network, normal, refuse, relative_error
from torch import nn
from torch.nn import functional as F  # noqa: N812
from users_state import changes, state

from hessdens import Plan, fisher_operator, ggn_operator, hessian_operator, spectral_moments

OPERATORS = (hessian_operator, ggn_operator, fisher_operator)
INPUTS = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(24) % 3
DATA = [(INPUTS[:16], TARGETS[:16]), (INPUTS[16:], TARGETS[16:])]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


def vectors(size, dtype=torch.float32):
    return torch.randn(size, 5, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize("make", OPERATORS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_has_single_precision_vectors(make, dtype):
    model = network().to(dtype)
    data = [(x.to(dtype), y) for x, y in DATA]
    operator = make(model, F.cross_entropy, data)
    assert operator.dtype == torch.float32
    assert operator.modes == ("forward-over-reverse", "reverse-over-reverse")
    V = vectors(operator.size)
    products = [make(model, F.cross_entropy, data, plan=Plan(mode)) @ V for mode in operator.modes]
    wide = make(model.double(), F.cross_entropy, [(x.double(), y) for x, y in data]) @ V.double()
    for product in products:
        assert product.dtype == torch.float32
        assert relative_error(product, wide) < 20 * torch.finfo(dtype).eps
    assert relative_error(products[0], wide) > 1e-5, "it is the model in half precision"


def test_half_precision_sums_are_not_in_half_precision():
    """Of 4,000 equal blocks, a sum in bfloat16 would stop growing after some 256."""
    model = nn.Linear(3, 1, bias=False).bfloat16()
    data = [(torch.ones(1, 3, dtype=torch.bfloat16), torch.zeros(1, 1, dtype=torch.bfloat16))] * 4000
    operator = hessian_operator(model, nn.MSELoss(), data)
    torch.testing.assert_close(operator @ torch.eye(3), 2 * torch.ones(3, 3), rtol=1e-6, atol=0)


class UnderAutocast(nn.Module):
    """Calls its network under autocast, as mixed-precision training does."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.network(x).float()


@pytest.mark.parametrize("make", OPERATORS)
def test_model_that_runs_under_autocast(make):
    model = UnderAutocast()
    operator = make(model, F.cross_entropy, DATA)
    V = vectors(operator.size)
    reference = make(model.network, F.cross_entropy, DATA) @ V
    for mode in operator.modes:
        product = make(model, F.cross_entropy, DATA, plan=Plan(mode)) @ V
        assert 1e-5 < relative_error(product, reference) < 0.05


@pytest.mark.parametrize("make", OPERATORS)
def test_products_inside_an_autocast_context(make):
    model = network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(INPUTS)
        operator = make(model, F.cross_entropy, DATA)
        product = operator @ vectors(operator.size)
    reference = make(model, F.cross_entropy, DATA) @ vectors(operator.size)
    assert product.dtype == torch.float32
    assert 1e-5 < relative_error(product, reference) < 0.05


def test_float64_model_under_autocast_is_refused():
    model, data = network().double(), [(x.double(), y) for x, y in DATA]
    match = r"Autocast must be off for a float64 model.* it is on for 'cpu' \(torch.bfloat16\)"
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ValueError, match=match):
        hessian_operator(model, F.cross_entropy, data)
    operator = hessian_operator(model, F.cross_entropy, data)
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ValueError, match=match):
        operator @ vectors(operator.size, torch.float64)


def test_out_of_memory_halves_the_block_and_says_so_once():
    model = Greedy()
    operator = hessian_operator(model, F.cross_entropy, DATA)
    V = vectors(operator.size)
    reference = operator @ V
    model.most = 3
    with pytest.warns(UserWarning, match="Out of memory with 16 examples and 5 probes at once; going on with half"):
        product = operator @ V
    assert operator.plan.examples_per_block == 2
    torch.testing.assert_close(product, reference)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(operator @ V, reference)


def test_memory_is_freed_outside_of_the_handler(monkeypatch):
    """Inside, the error keeps the frames of the product alive, and all tensors in them."""
    model = Greedy()
    operator = hessian_operator(model, F.cross_entropy, DATA, plan=Plan("reverse-over-reverse", 16, 5))
    model.most, states = 10, []

    def warn(message, **_):
        states.append((sys.exc_info()[0], model.seen[-1]()))

    monkeypatch.setattr("warnings.warn", warn)
    operator @ vectors(operator.size)
    assert states == [(None, None)]


def test_settled_plans_are_those_of_products():
    operator = hessian_operator(network(), F.cross_entropy, DATA)
    schedule = operator.settle(5)
    operator @ vectors(operator.size)
    assert operator.plan == schedule
    assert operator.settle(5) is schedule


def test_plan_before_the_first_product():
    operator = hessian_operator(network(), F.cross_entropy, DATA, plan=Plan("reverse-over-reverse", 3))
    plan = operator.plan
    assert (plan.mode, plan.examples_per_block, plan.probes_per_block) == ("reverse-over-reverse", 3, 1)
    assert plan.memory > 0


def test_out_of_memory_for_one_example_and_probe_is_an_error():
    model = Greedy()
    operator = hessian_operator(model, F.cross_entropy, DATA)
    model.most = 0
    with pytest.raises(torch.OutOfMemoryError):
        operator @ vectors(operator.size)


class LanguageModel(nn.Module):
    """Takes and returns what models of Hugging Face do: keyword arguments, a mapping of outputs; tied embeddings."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, input_ids, attention_mask):
        hidden = self.layer(self.embedding(input_ids), src_key_padding_mask=attention_mask == 0)
        return {"logits": self.head(hidden), "hidden": hidden}


def forward(model, batch):
    logits = model(batch["input_ids"], batch["attention_mask"])["logits"]
    return logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten()


@pytest.mark.parametrize("make", OPERATORS)
def test_dictionaries_and_masked_tokens(make):
    torch.manual_seed(0)
    model = LanguageModel().double().eval()
    tokens = torch.randint(0, 11, (6, 5))
    mask = torch.ones(6, 5, dtype=torch.int64)
    mask[2:, 4:], mask[4:, 2:] = 0, 0
    labels = tokens.where(mask == 1, -100)
    batch = {"input_ids": tokens, "attention_mask": mask, "labels": labels}
    data = [{key: value[rows] for key, value in batch.items()} for rows in (slice(0, 4), slice(4, 6))]
    options = {"forward": forward, "num_examples": lambda batch: int((batch["labels"][:, 1:] != -100).sum())}
    whole = make(model, F.cross_entropy, [batch], split_batches=False, **options)
    assert "head.weight" not in whole.parameter_names
    V = vectors(whole.size, torch.float64)
    for mode in whole.modes:
        operator = make(model, F.cross_entropy, data, plan=Plan(mode, 1, 2), **options)
        assert relative_error(operator @ V, whole @ V) < 1e-12
    cross = V.T @ (whole @ V)
    assert relative_error(cross, cross.T) < 1e-12


class NoGradient(torch.autograd.Function):
    """A custom operation without a backward pass."""

    @staticmethod
    def forward(ctx, x):
        return x * 2


class Once(NoGradient):
    """The same, differentiable once."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * gradient


class Custom(nn.Module):
    """Applies an operation."""

    def __init__(self, operation):
        super().__init__()
        self.operation, self.linear = operation, nn.Linear(3, 3)

    def forward(self, x):
        return self.operation.apply(self.linear(x))


class _Around(nn.Module):
    """Has the operation between its inputs and a module inside."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return self.linear(NoGradient.apply(x))


def test_errors_name_the_module():
    def model(operation):
        return nn.Sequential(nn.Linear(6, 3), nn.Sequential(nn.Tanh(), Custom(operation)))

    with pytest.raises(ValueError, match=r"The loss must have a gradient; Custom '1.1' has none: "):
        hessian_operator(model(NoGradient), F.cross_entropy, DATA)
    model_of_two = nn.Sequential(nn.Linear(6, 3), _Around())
    with pytest.raises(ValueError, match=r"must have a gradient; _Around '1' has none: "):
        hessian_operator(model_of_two, F.cross_entropy, DATA)
    with pytest.warns(UserWarning, match=r"cannot differentiate this loss twice.*Custom '1.1'"):
        operator = hessian_operator(model(Once), F.cross_entropy, DATA)
    assert operator.modes == ("central-differences",)
    with pytest.raises(ValueError, match=r"must be differentiable twice.*Custom '1.1'"):
        ggn_operator(model(Once), F.cross_entropy, DATA)
    with pytest.raises(ValueError, match="must have a gradient; the loss function has none"):
        hessian_operator(network(), lambda z, t: F.cross_entropy(NoGradient.apply(z), t), DATA)


@pytest.mark.parametrize("make", OPERATORS)
def test_tied_frozen_and_unused_parameters(make):
    torch.manual_seed(0)
    model = nn.ModuleDict({name: nn.Linear(3, 3, bias=False) for name in ("a", "b", "c", "unused")}).double()
    model["b"].weight = model["a"].weight
    model["c"].requires_grad_(False)

    def forward(model, batch):
        x, y = batch
        return model["c"](torch.tanh(model["b"](torch.tanh(model["a"](x))))), y

    with pytest.warns(UserWarning, match="left out: unused.weight"):
        operator = make(model, F.cross_entropy, [(INPUTS[:, :3].double(), TARGETS)], forward=forward)
    assert operator.parameter_names == ("a.weight",)
    moments = spectral_moments(operator, 2, method="skilling", num_probes=2)
    assert moments.size == 9


def test_model_that_changes_after_the_construction():
    model = nn.Sequential(linear(), nn.Dropout(0.5)).eval()
    operator = hessian_operator(model, F.cross_entropy, SMALL)
    v = torch.ones(operator.size)
    model.train()
    with pytest.raises(ValueError, match="Dropout '1' is in training mode"):
        operator @ v
    model.eval().double()
    with pytest.raises(ValueError, match=r"must stay as it was .*; '0.weight' had .* Make a new operator"):
        operator @ v
    model[0] = nn.Identity()
    with pytest.raises(ValueError, match=r"'0.weight' was a parameter of its own and is not there\. Make a new"):
        operator @ v


def test_ties_and_parameters_that_change_after_the_construction():
    def network():
        return nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))

    tied, separate, grown = network(), network(), network()
    tied[2].weight = tied[0].weight
    operators = [hessian_operator(model, F.cross_entropy, SMALL) for model in (tied, separate, grown)]
    tied[2].weight = nn.Parameter(tied[0].weight.detach().clone())
    separate[2].weight = separate[0].weight
    grown.append(nn.Linear(3, 3))
    messages = (
        r"'2.weight' was tied to '0.weight' and is a parameter of its own\. Make a new operator",
        r"'2.weight' was a parameter of its own and is tied to '0.weight'",
        r"'3.weight' was not there and is a parameter of its own",
    )
    for operator, message in zip(operators, messages, strict=True):
        for look in (operator.loss, operator.origin, lambda H=operator: H @ torch.ones(H.size)):
            with pytest.raises(ValueError, match=message):
                look()


def test_parameters_that_are_frozen_later_stay_in_the_matrix_and_unfrozen_ones_out():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    data = [(x.double(), y) for x, y in SMALL]
    whole = hessian_operator(model, F.cross_entropy, data)
    expected = dense(whole)
    model[0].requires_grad_(False)
    part = hessian_operator(model, F.cross_entropy, data)
    assert relative_error(dense(whole), expected) < 1e-13
    model[0].requires_grad_(True)
    assert relative_error(dense(part), expected[12:, 12:]) < 1e-13


@pytest.mark.parametrize("mode", ["feedforward", "forward-over-reverse", "reverse-over-reverse"])
def test_parameters_that_are_replaced(mode):
    model = linear()
    operator = hessian_operator(model, F.cross_entropy, SMALL, plan=Plan(mode))
    model.load_state_dict({name: 2 * value + 1 for name, value in model.state_dict().items()}, assign=True)
    model.weight.requires_grad_(), model.bias.requires_grad_()
    v = torch.linspace(-1, 1, operator.size)
    torch.testing.assert_close(operator @ v, hessian_operator(model, F.cross_entropy, SMALL, plan=Plan(mode)) @ v)


def test_vectors_of_another_shape_or_dtype():
    operator = hessian_operator(linear(), F.cross_entropy, SMALL)
    with pytest.raises(ValueError, match=r"V must have shape \(8, P\); got \(7, 2\)"):
        operator @ torch.zeros(7, 2)
    with pytest.raises(ValueError, match=r"v must have shape \(8,\); got \(8, 2\)"):
        operator.matvec(torch.zeros(8, 2))
    with pytest.raises(
        ValueError, match=r"V must be torch.float32 on cpu, as the operator is; got torch.float64 on cpu"
    ):
        operator @ torch.zeros(8, dtype=torch.float64)


def test_operator_follows_the_model():
    model = nn.Linear(2, 1).double()
    operator = hessian_operator(model, nn.BCEWithLogitsLoss(), [(normal(5, 2), torch.ones(5, 1).double())])
    before = dense(operator)
    with torch.no_grad():
        model.weight += 1
    assert relative_error(dense(operator), before) > 1e-3


def test_product_is_linear_and_serves_scipy():
    from scipy.sparse.linalg import eigsh

    operator = hessian_operator(narrow_network(), nn.CrossEntropyLoss(), batches(normal(37, 4), torch.arange(37) % 3))
    hessian = dense(operator)
    v = normal(operator.size)
    torch.testing.assert_close(operator @ v, hessian @ v, rtol=1e-9, atol=1e-12)
    top = eigsh(operator.to_scipy(), k=2, which="LM", return_eigenvectors=False, v0=np.ones(operator.size))
    exact = np.linalg.eigvalsh(hessian.numpy())
    np.testing.assert_allclose(np.max(np.abs(top)), np.max(np.abs(exact)), rtol=1e-8)


def test_weight_decay_is_that_of_the_optimizer():
    """One step of SGD with weight decay: the gradient of the penalised loss, whose derivative the matrix is."""
    model, data = narrow_network(nn.Tanh), batches(normal(37, 4), torch.arange(37) % 3)
    plain, decayed = (hessian_operator(model, F.cross_entropy, data, weight_decay=decay) for decay in (0.0, 0.3))
    torch.testing.assert_close(dense(decayed), dense(plain) + 0.3 * torch.eye(plain.size, dtype=torch.float64))
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert decayed.loss() == pytest.approx(plain.loss() + 0.15 * float(flat @ flat))
    before, optimizer = flat.clone(), torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=0.3)
    F.cross_entropy(model(data[0][0]), data[0][1]).backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    optimizer.step()
    moved = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
    torch.testing.assert_close(-moved, gradient + 0.3 * before)
    assert decayed.origin() != plain.origin()
    assert ggn_operator(model, F.cross_entropy, data, weight_decay=0.3).matvec(flat) @ flat > 0.3 * flat @ flat


@pytest.mark.parametrize("decay", [-0.1, float("nan"), float("inf")])
def test_weight_decay_must_be_a_number_of_at_least_zero(decay):
    refuse(r"weight_decay must be finite and at least 0; got ", weight_decay=decay)


@pytest.mark.parametrize("make", OPERATORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_that_of_the_mean_loss_with_its_penalty(make, dtype):
    model, data = network().to(dtype), [(x.to(dtype), y) for x, y in DATA]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    operator = make(model, F.cross_entropy, data, weight_decay=0.3)
    gradient = operator.gradient()
    assert gradient.dtype == dtype
    assert all(bool((parameter.grad == 1).all()) for parameter in model.parameters()), "the user's stay"
    inputs, targets = (torch.cat(parts) for parts in zip(*data, strict=True))
    penalty = 0.15 * sum(p.square().sum() for p in model.parameters())
    loss = F.cross_entropy(model(inputs), targets) + penalty
    expected = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, list(model.parameters()))])
    assert relative_error(gradient, expected) < 10 * torch.finfo(dtype).eps
    assert operator.loss() == pytest.approx(float(loss.detach()), rel=1e-6)


def test_gradient_is_that_of_the_selected_parameters_and_must_be_finite():
    model = network()
    operator = hessian_operator(model, F.cross_entropy, DATA, parameters="2.*")
    whole = hessian_operator(model, F.cross_entropy, DATA)
    parts = whole.unflatten(whole.gradient())
    torch.testing.assert_close(operator.unflatten(operator.gradient())["2.weight"], parts["2.weight"])
    with torch.no_grad():
        model[4].bias.fill_(torch.inf)
    with pytest.raises(ValueError, match="must be finite"):
        operator.gradient()


def test_vectors_and_tensors_by_parameter():
    operator = hessian_operator(network(), F.cross_entropy, DATA)
    vector = vectors(operator.size)[:, 0]
    parts = operator.unflatten(vector)
    assert {name: part.shape for name, part in parts.items()} == {
        name: parameter.shape for name, parameter in network().named_parameters()
    }
    assert torch.equal(operator.flatten(dict(reversed(parts.items()))), vector), "in whatever order"
    assert torch.equal(operator.flatten(operator.unflatten(vector.double().numpy())), vector)
    parts["0.weight"].zero_()
    assert vector[:48].abs().min() > 0, "a copy"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda parts: [], TypeError, "A direction must be a mapping from names to tensors; got list"),
        (
            lambda parts: parts | {"0.wight": parts["0.weight"]},
            ValueError,
            "has no parameter '0.wight'. Near: .'0.weight'",
        ),
        (lambda parts: {"0.weight": parts["0.weight"]}, ValueError, "it misses '0.bias'"),
        (lambda parts: parts | {"0.bias": torch.ones(3)}, ValueError, r"'0.bias' is \(8,\); got \(3,\)"),
    ],
)
def test_tensors_that_are_no_direction(change, error, message):
    operator = hessian_operator(network(), F.cross_entropy, DATA)
    with pytest.raises(error, match=message):
        operator.flatten(change(operator.unflatten(torch.ones(operator.size))))


def test_displaced_parameters_are_restored_to_the_last_bit():
    model = network()
    operator = hessian_operator(model, F.cross_entropy, DATA)
    before = state(model)
    direction, loss = vectors(operator.size)[:, 0], operator.loss()
    weight = model[0].weight.detach().clone()
    with operator.displaced(direction, 0.5):
        assert torch.equal(model[0].weight, weight + 0.5 * direction[:48].reshape(8, 6))
        assert operator.loss() != loss
    with pytest.raises(KeyboardInterrupt), operator.displaced(operator.unflatten(direction), -2.0):
        raise KeyboardInterrupt
    assert changes(before, state(model)) == []
    assert operator.loss() == loss


def test_displacements_that_are_none():
    operator = hessian_operator(network(), F.cross_entropy, DATA)
    for direction, scale, message in [
        (torch.ones(3), 1.0, r"A direction must have shape \(155,\), as the operator has; got \(3,\)"),
        (torch.full((155,), torch.nan), 1.0, "A direction and its scale must be finite"),
        (torch.ones(155), float("inf"), "A direction and its scale must be finite"),
    ]:
        with pytest.raises(ValueError, match=message), operator.displaced(direction, scale):
            pass


def test_gradient_of_chosen_examples():
    model = network().double()
    data = [(x.double(), y) for x, y in DATA]
    operator = hessian_operator(model, F.cross_entropy, data)
    parts = [operator.gradient(lambda batch, c=c: batch[1] == c) for c in range(3)]
    inputs, targets = (torch.cat(parts) for parts in zip(*data, strict=True))
    loss = F.cross_entropy(model(inputs[targets == 2]), targets[targets == 2])
    expected = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, list(model.parameters()))])
    torch.testing.assert_close(parts[2], expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(sum(parts) / 3, operator.gradient(), rtol=1e-12, atol=1e-14)
    operator.matvec(torch.ones(operator.size, dtype=torch.float64))  # which decides how batches are cut
    last = operator.gradient(lambda batch: torch.full(batch[1].shape, torch.equal(batch[1], data[-1][1])))
    alone = hessian_operator(model, F.cross_entropy, data[-1:]).gradient()
    torch.testing.assert_close(last, alone, rtol=1e-12, atol=1e-14)
    with pytest.raises(ValueError, match="over at least one example; none was chosen"):
        operator.gradient(lambda batch: batch[1] == 7)
    with pytest.raises(ValueError, match=r"one truth value each, shape \(16,\); got torch.bool of shape \(3,\)"):
        operator.gradient(lambda batch: batch[1][:3] == 1)
    whole = hessian_operator(model, F.cross_entropy, data, split_batches=False)
    with pytest.raises(ValueError, match="batches are not to be cut"):
        whole.gradient(lambda batch: batch[1] == 1)
