"""The model as it is: precision, autocast, memory that runs out, dictionaries; and errors that name the module."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

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


def relative_error(estimate, reference):
    return float((estimate.double() - reference.double()).norm() / reference.double().norm())


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


class Greedy(nn.Module):
    """Has memory for so many examples only, as a GPU does."""

    def __init__(self):
        super().__init__()
        self.network, self.most = network(), 10**9

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.network(x)


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


def test_errors_name_the_module():
    def model(operation):
        return nn.Sequential(nn.Linear(6, 3), nn.Sequential(nn.Tanh(), Custom(operation)))

    with pytest.raises(ValueError, match=r"The loss must have a gradient; Custom '1.1' has none: "):
        hessian_operator(model(NoGradient), F.cross_entropy, DATA)
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

    operator = make(model, F.cross_entropy, [(INPUTS[:, :3].double(), TARGETS)], forward=forward)
    assert operator.parameter_names == ("a.weight",)
    moments = spectral_moments(operator, 2, method="skilling", num_probes=2)
    assert moments.size == 9
