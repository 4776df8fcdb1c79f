"""Checks of arguments: the rule, and what was received."""

import inspect
import math
import re
import warnings
from typing import TypedDict, Unpack

import numpy as np
import pytest

from hessdens import eigenpairs
from hessdens._checks import (
    at_least,
    check_interval,
    check_level,
    check_real,
    check_whole,
    half_window,
    takes_model,
    takes_operator,
    warn_caller,
    whole_at_least,
)


def test_half_of_a_window():
    assert half_window(0.2) == 0.1
    assert half_window(0) == 0
    for window in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"window must be finite and at least 0; got {window}"):
            half_window(window)


def test_a_share_is_of_the_largest_eigenvalue():
    assert half_window("1%", 50.0) == 0.25
    with pytest.raises(
        ValueError, match=r"window must be a number where the largest eigenvalue is not known; got '1%'"
    ):
        half_window("1%")
    for window in ("0.2", "%", "-1%", "nan%", "inf%", "one%"):
        with pytest.raises(ValueError, match=f"a share as \"1%\" of the largest eigenvalue; got '{window}'"):
            half_window(window, 1.0)


def test_least_values():
    at_least("num_moments", 1, 1)
    for value in (0, float("nan")):
        with pytest.raises(ValueError, match=f"num_moments must be at least 1; got {value}"):
            at_least("num_moments", value, 1)


def test_whole_numbers():
    whole_at_least("k", np.int64(1), 1)
    with pytest.raises(ValueError, match="k must be at least 1; got 0"):
        whole_at_least("k", 0, 1)
    for value in (2.5, 2.0, True, None, "2"):
        with pytest.raises(TypeError, match=f"k must be a whole number; got {value!r}"):
            whole_at_least("k", value, 1)


def test_intervals_ascend():
    check_interval(-float("inf"), 1.0)
    check_interval(1.0, 1.0)
    with pytest.raises(ValueError, match=r"low must not exceed high; got 2 and 1\."):
        check_interval(2, 1)


def test_levels_are_probabilities():
    check_level(0.5)
    for level in (0, 1, 95, float("nan")):
        with pytest.raises(ValueError, match=f"level must lie between 0 and 1; got {level}"):
            check_level(level)


def test_counts_are_of_integer_types():
    for value in (3, np.int64(3), 0, -1):
        check_whole("k", value)
    for value, kind, hint in [
        ("100", "str", " Write k=100."), (20.5, "float", " Write k=20."), (2.0, "float", " Write k=2."),
        (np.float64(3), "float64", " Write k=3."), ("many", "str", ""), (math.nan, "float", ""),
        (math.inf, "float", ""), (0.5, "float", ""), (None, "NoneType", ""), (True, "bool", ""), ([1], "list", ""),
    ]:  # fmt: skip
        message = f"k must be a whole number; got {value!r} of type {kind}.{hint}"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            check_whole("k", value)


def test_accuracies_are_numbers():
    for value in (0.01, 1, np.float32(0.5), math.nan):
        check_real("rtol", value)
    for value, hint in [
        ("1%", " Write rtol=0.01."),
        ("0.5", " Write rtol=0.5."),
        ("small", ""),
        (None, ""),
        (True, ""),
    ]:
        message = f"rtol must be a number; got {value!r} of type {type(value).__name__}.{hint}"
        with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
            check_real("rtol", value)


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
