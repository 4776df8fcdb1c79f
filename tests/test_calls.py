"""How functions are called: what is said of calls that they do not take, and where warnings point."""

import inspect
import re
import warnings
from typing import TypedDict, Unpack

import numpy as np
import pytest

from hessdens import eigenpairs
from hessdens._calls import takes_model, takes_operator, warn_caller


class Model:
    def named_parameters(self):
        return iter(())


@takes_operator
def estimate(A, k=1, *, num_steps=None, seed=0):
    """Return its arguments."""
    return A, k, num_steps, seed


@takes_operator
def open_estimate(H, *directions, **options):
    return H, directions, options


class Options(TypedDict, total=False):
    weight_decay: float


@takes_model
def make(model, loss_fn, data, *, plan=None, **options: Unpack[Options]):
    return model, options


def test_functions_of_operators_are_called_as_before():
    assert make(model := Model(), 1, 2, weight_decay=3) == (model, {"weight_decay": 3})
    assert estimate(1, 2, seed=3) == (1, 2, None, 3)
    assert estimate(A=1) == (1, 1, None, 0)
    assert open_estimate(1, 2, 3, model=4) == (1, (2, 3), {"model": 4})
    model = Model()
    assert estimate(model)[0] is model, "a single argument is looked at by the function itself"
    assert (estimate.__name__, estimate.__doc__) == ("estimate", "Return its arguments.")
    assert str(inspect.signature(estimate)) == "(A, k=1, *, num_steps=None, seed=0)"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'A'"):
        estimate()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: estimate(1, 2, 3),
            "estimate takes A and k by place, and all else by name. Write the name: num_steps=, seed=.",
        ),
        (lambda: estimate(1, n_steps=3), "estimate takes no argument 'n_steps'. Write num_steps=."),
        (lambda: estimate(1, top_n=3), "estimate takes no argument 'top_n'. Write k=."),
        (lambda: estimate(1, loss=3), "estimate takes no argument 'loss'. It takes A, k, num_steps, seed."),
        (
            lambda: make(Model(), 1, 2, 3),
            "make takes model, loss_fn and data by place, and all else by name. Write make(model, loss_fn, [(inputs, ",
        ),
        (lambda: make(Model(), 1, 2, weigth_decay=3), "make takes no argument 'weigth_decay'. Write weight_decay=."),
        (lambda: make(Model(), criterion=1, data=2), "make takes no argument 'criterion'. Write loss_fn=."),
        (
            lambda: make(Model(), 1, 2, cuda=True),
            "make takes no argument 'cuda'. It is where the model is: write model.to(",
        ),
        (lambda: estimate(1, zebra=3), "estimate takes no argument 'zebra'. It takes A, k, num_steps, seed."),
        (lambda: estimate(Model(), 1, 2), "Write A = hessian_operator(model, loss_fn, data), and then estimate(A)."),
        (lambda: estimate(Model(), 1), "estimate takes an operator, not a model, a loss and data."),
        (lambda: estimate(Model(), data=1), "estimate takes an operator, not a model, a loss and data."),
        (lambda: estimate(model=Model(), data=1), "estimate takes an operator, not a model, a loss and data."),
        (
            lambda: open_estimate(Model(), 1),
            "Write H = hessian_operator(model, loss_fn, data), and then open_estimate(H).",
        ),
    ],
)
def test_calls_with_other_arguments_say_what_to_write(call, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


def test_warnings_are_at_the_line_of_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_caller("one")
        eigenpairs(np.diag(np.linspace(1, 2, 90)), 3, rtol=1e-12, max_products=6)
    assert [warning.filename for warning in caught] == [__file__] * 2
    assert "was not reached" in str(caught[1].message)
