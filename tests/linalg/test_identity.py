"""What an operator is: facts, a product where it knows none, and how two identities differ."""

import numpy as np
import pytest
import torch
from torch import nn

from hessdens import NonFiniteError, as_operator, hessian_operator
from hessdens._version import __version__
from hessdens.linalg.identity import differences, digest, facts_of, identity_of, is_same_fact, run_identity

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
    assert [text.split(" is ")[0] for text in differences(first, second)] == ["a product"]
    assert differences(first, first) == []


def test_differences_are_named_in_order():
    there, here = {"size": 3, "seed": 0, "data": 1.0}, {"size": 4, "seed": 0, "loss": "MSELoss", "data": 1.0}
    assert differences(there, here) == ["loss is None there and 'MSELoss' here", "size is 3 there and 4 here"]


def test_rounding_is_that_of_the_kind_of_fact():
    assert is_same_fact("a product", 1.0, 1.0 + 1e-6)
    assert not is_same_fact("a product", 1.0, 1.0 + 1e-4)
    assert is_same_fact("parameters", 1.0, 1.0 + 1e-12)
    assert not is_same_fact("parameters", 1.0, 1.0 + 1e-6), "a step of training with a small rate"
    assert is_same_fact("data", NAN, NAN), "of entries that a model masks"


def test_product_that_is_not_finite():
    with pytest.raises(NonFiniteError, match="one with a random vector is not"):
        run_identity(as_operator(lambda V: V * NAN, size=3, check_symmetric=False))


def test_digest_is_that_of_the_content():
    x = np.arange(6.0)
    assert digest(x) == digest(x[::-1][::-1]) != digest(x[::-1])
    assert digest(x, x) != digest(x)
    assert len(digest()) == 32
