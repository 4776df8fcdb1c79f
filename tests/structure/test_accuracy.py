"""The accuracy of traces: what is allowed, what is missing, and what a message says of it."""

import numpy as np
import pytest
from scipy import stats

from hessdens.structure.accuracy import TraceAccuracy, half_widths

VALUES = np.array([10.0, -4.0, 0.0])


def test_the_larger_amount_counts():
    assert TraceAccuracy(0.1, None).allowed(VALUES).tolist() == [1.0, 0.4, 0.0]
    assert TraceAccuracy(None, 0.5).allowed(VALUES).tolist() == [0.5, 0.5, 0.5]
    assert TraceAccuracy(0.1, 0.5).allowed(VALUES).tolist() == [1.0, 0.5, 0.5]
    assert TraceAccuracy(0.1, None, eps=0.05).allowed(VALUES).tolist() == [1.0, 0.5, 0.5]
    assert not TraceAccuracy(None, None).is_asked
    assert TraceAccuracy(None, 0.5).is_asked


def test_excess_is_one_where_an_accuracy_is_just_reached():
    excess = TraceAccuracy(0.1, None).excess(VALUES, np.array([1.0, 0.2, 0.3]))
    assert excess.tolist() == [1.0, 0.5, np.inf]
    assert TraceAccuracy(0.1, None).excess(VALUES, np.zeros(3)).tolist() == [0, 0, 0]


def test_a_part_of_the_variance_has_the_root_of_it():
    assert TraceAccuracy(0.1, 2.0, 1e-9).part(0.25) == TraceAccuracy(0.05, 1.0, 1e-9)
    assert TraceAccuracy(None, 2.0).part(0.25) == TraceAccuracy(None, 1.0)


def test_half_widths_are_those_of_student():
    samples = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    values, widths = half_widths(samples)
    assert values.tolist() == [2.0, 5.0]
    np.testing.assert_allclose(widths, [stats.t.ppf(0.975, 2) / 3**0.5, 0])


def test_a_message_says_what_was_reached_and_what_it_takes():
    names = "first", "", "third"
    widths = np.array([1.5, 2.0, 0.0])
    assert TraceAccuracy(0.1, None).message(names, VALUES, widths, "40 products", 1234.0) == (
        "rtol=0.1 was not reached after 40 products: 95% intervals are wider for 2 of 3 layers, most for '(the model "
        "itself)', whose trace is -4 ± 2. It takes about 1,200 products."
    )
    message = TraceAccuracy(0.1, 0.5).message(names, VALUES, widths, "40 products", None)
    assert message.startswith("rtol=0.1 and atol=0.5 was not reached")
    assert message.endswith("whose trace is -4 ± 2.")
    message = TraceAccuracy(0.1, None).message(names, VALUES, np.array([0.0, 0.0, 0.2]), "40 products", 50.0)
    assert message.endswith(
        "most for 'third', whose trace is 0 ± 0.2. It may be 0: ask for an absolute accuracy too, such as atol=1."
    )


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        ((0.0, None), "rtol must lie between 0 and 1; got 0"),
        ((1.0, None), "rtol must lie between 0 and 1; got 1"),
        ((None, 0.0), "atol must be positive and finite; got 0"),
        ((None, np.inf), "atol must be positive and finite; got inf"),
        ((0.1, np.nan), "atol must be positive and finite; got nan"),
    ],
)
def test_bad_input(amounts, message):
    with pytest.raises(ValueError, match=message):
        TraceAccuracy(*amounts)
