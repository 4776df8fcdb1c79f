"""What norms of blocks say of themselves."""

from dataclasses import replace

import numpy as np
import pytest

from hessdens.results import BlockNorms, Certificates

SAMPLES = np.array([[[4.0, 1.0], [1.0, 2.0]], [[6.0, 1.0], [1.0, 4.0]]])
FOUND = BlockNorms(
    SAMPLES, [[1.0, 2.0], [3.0, 2.0]], [0.9, 0.8], ("a", "b"), (3, 2), 4, Certificates(1e-10, 4, 0.5, "")
)


def test_values_and_errors():
    assert FOUND.values.tolist() == [[5.0, 1.0], [1.0, 3.0]]
    assert FOUND.of("a", "b") == (1.0, 0.0)
    assert FOUND.of("b", "b") == (3.0, pytest.approx(1.0))
    assert FOUND.trace_of("a") == (2.0, pytest.approx(1.0))
    np.testing.assert_allclose(FOUND.correlations(), [[1, (1 / 15**0.5) ** 0.5], [(1 / 15**0.5) ** 0.5, 1]])


def test_share_and_cosine():
    """The jackknife of a ratio of two means, by hand: shares without each probe are 2/12 and 2/8."""
    assert FOUND.share_outside() == pytest.approx(2 * 2 / 10 - (2 / 12 + 2 / 8) / 2)
    low, high = FOUND.share_outside_interval(0.5)
    error = (0.5 * 2 * ((2 / 8 - 2 / 12) / 2) ** 2) ** 0.5
    assert high - low == pytest.approx(2 * error)  # Student's t is 1 for one degree of freedom
    assert FOUND.cosine() == pytest.approx(0.85)
    assert FOUND.cosine_interval(0.5) == pytest.approx((0.8, 0.9))


def test_nothing_at_all():
    nothing = replace(FOUND, samples=np.zeros((2, 2, 2)))
    assert (nothing.share_outside(), nothing.share_outside_interval()) == (0.0, (0.0, 0.0))
    assert nothing.correlations().tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert "a: 0 ± 0 (0%)" in str(nothing)


def test_texts_and_numbers():
    assert FOUND.summary().splitlines()[0] == "Blocks of 2 parts, 5 entries, 4 products"
    assert "  a: 5 ± 1 (50%)" in str(FOUND)
    assert "  a and b: 1 ± 0 (20%)" in str(FOUND)
    assert repr(FOUND) == "BlockNorms(parts=2, num_products=4)"
    assert FOUND.numbers()["squared_norms"] == [[5.0, 1.0], [1.0, 3.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": SAMPLES[:1]}, "samples, traces and cosines must have shapes"),
        ({"cosines": [0.9]}, "samples, traces and cosines must have shapes"),
        ({"samples": -SAMPLES}, "samples must be symmetric squared norms"),
        ({"samples": SAMPLES + np.array([[0.0, 1.0], [0.0, 0.0]])}, "samples must be symmetric squared norms"),
        ({"names": ("a", "a")}, "names must be different"),
    ],
)
def test_what_fits_nowhere_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(FOUND, **change)
