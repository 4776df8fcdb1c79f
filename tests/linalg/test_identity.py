"""What an operator is: facts, a product where it knows none, and how two identities differ."""

import functools
import types

import numpy as np
import pytest
import torch
from torch import nn

from hessdens import NonFiniteError, as_operator, hessian_operator
from hessdens._version import __version__
from hessdens.linalg.fingerprint import fingerprint
from hessdens.linalg.identity import (
    differences,
    digest,
    facts_of,
    identity_of,
    is_same_fact,
    run_identity,
    settings_of,
    with_product,
)

NAN = float("nan")


def operator_of(model, value=1.0):
    return hessian_operator(model, nn.MSELoss(), [(torch.full((3, 2), value), torch.zeros(3, 1))])


def test_facts_of_a_model():
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    facts = facts_of(operator_of(model))
    assert facts["model"] == "Linear"
    assert facts["loss"] == "MSELoss"
    assert (facts["size"], facts["dtype"]) == (3, "torch.float32")
    assert identity_of(operator_of(model)) == {
        "hessdens version": __version__,
        "torch version": torch.__version__,
        **facts,
    }
    assert facts_of(operator_of(model, 2.0))["data"] != facts["data"]


def test_a_run_has_its_settings_and_a_product():
    first, second = (run_identity(as_operator(np.diag([1.0, 2.0, x])), seed=3) for x in (3.0, 3.1))
    assert first["seed"] == 3
    assert first["size"] == 3
    assert [text.split(" is ")[0] for text in differences(first, second)] == ["a product", "entries"]
    assert differences(first, first) == []


def functions(x, calls=()):
    """Return the function V -> diag(1, 2, x) V, which counts its calls."""
    entries, calls = torch.tensor([[1.0], [2.0], [x]], dtype=torch.float64), list(calls)

    def product(V):
        calls.append(V.shape[1])
        return entries * V * (1.0 if len(calls) < 4 or not noisy else 1 + 2**-50)

    noisy = bool(calls)
    return as_operator(product, size=3), calls


def test_functions_are_known_by_the_bits_of_their_products():
    (operator, calls), (other, _) = functions(3.0), functions(3.0 * (1 + 2**-52))
    first, second = (run_identity(A) for A in (operator, other))
    assert calls == [2, 1, 1]  # to see symmetry, and whether it repeats itself
    assert [text.split(" is ")[0] for text in differences(first, second)] == ["bits of a product"]
    assert differences(with_product(operator), with_product(other)) == []


def test_functions_whose_products_do_not_repeat_their_bits_are_known_to_rounding():
    first, second = (run_identity(functions(x, calls=[0])[0]) for x in (3.0, 3.0 * (1 + 2**-52)))
    assert first["bits of a product"] == "other ones each time"
    assert differences(first, second) == []


def test_differences_are_named_in_order():
    there, here = {"size": 3, "seed": 0, "data": 1.0}, {"size": 4, "seed": 0, "loss": "MSELoss", "data": 1.0}
    assert differences(there, here) == ["loss is None there and 'MSELoss' here", "size is 3 there and 4 here"]


def test_rounding_is_that_of_the_kind_of_fact():
    assert is_same_fact("a product", 1.0, 1.0 + 1e-6)
    assert not is_same_fact("a product", 1.0, 1.0 + 1e-4)
    assert not is_same_fact("rtol", 1.0, 1.0 + 1e-15)
    for dtype, rounding in (("torch.float64", 1e-10), ("torch.float32", 1e-5)):
        there = {"dtype": dtype, "a product": 1.0}
        assert differences(there, there | {"a product": 1 + 0.9 * rounding}) == []
        assert differences(there, there | {"a product": 1 + 1.1 * rounding}) != []


def penalised(strength, weight=None):
    def loss(outputs, targets, scale=2.0):
        return scale * outputs.square().mean() + strength * 0.5 + (0 if weight is None else weight.sum())

    return loss


class Focal(nn.Module):
    def __init__(self, gamma):
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weight", torch.ones(2))


class Callable:
    def __init__(self, gamma):
        self._gamma = gamma

    def __call__(self, outputs, targets):
        return outputs.mean()

    def method(self, outputs, targets):
        return outputs.mean()


X = torch.ones(2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(label_smoothing=0.1 + 2**-54)),
        (nn.CrossEntropyLoss(weight=X), nn.CrossEntropyLoss(weight=X * (1 + 2**-23))),
        (penalised(1e-3), penalised(1.0001e-3)),
        (penalised(1, X), penalised(1, X.double())),
        (functools.partial(penalised(1), scale=1.0), functools.partial(penalised(1), scale=1.5)),
        (lambda outputs, targets: 2 * outputs, lambda outputs, targets: 3 * outputs),
        (Focal(1.0), Focal(2.0)),
        (Callable(1.0), Callable(2.0)),
        (Callable(1.0).method, Callable(2.0).method),
    ],
)
def test_settings_of_losses(one, other):
    first, again, second = (fingerprint(settings_of(loss)) for loss in (one, one, other))
    assert first == again != second


def test_settings_of_what_refers_to_itself_or_to_anything():
    def loss(outputs, targets):
        return loss, trainer, later

    if X is None:
        later = 1
    trainer = types.SimpleNamespace(step=0)
    first = fingerprint(settings_of(loss))
    trainer.step = 1
    assert fingerprint(settings_of(loss)) == first, "what a trainer holds is no setting"


def test_product_that_is_not_finite():
    with pytest.raises(NonFiniteError, match="one with a random vector is not"):
        run_identity(as_operator(lambda V: V * NAN, size=3, check_symmetric=False))


def test_digest_is_that_of_the_content():
    x = np.arange(6.0)
    assert digest(x) == digest(x[::-1][::-1]) != digest(x[::-1])
    assert digest(x, x) != digest(x)
    assert len(digest()) == 32
