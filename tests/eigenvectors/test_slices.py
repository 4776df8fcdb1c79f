"""Losses beside their prediction: what it says, and where it fails."""

import numpy as np
import pytest

from hessdens.eigenvectors import LossSlice

OFFSETS = np.linspace(-1, 1, 21)


def line(losses, slope=0.0, curvature=2.0, rounding=0.0, offsets=OFFSETS):
    return LossSlice(offsets, np.reshape(losses, (-1, 1)), 1.0, [slope], [[curvature]], [3.0], rounding)


def test_the_prediction_fails_where_it_is_off_by_a_tenth_of_what_it_changes():
    quadratic = line(1 + 0.5 * OFFSETS + OFFSETS**2, slope=0.5)
    assert not quadratic.fails().any()
    assert quadratic.reach() == (-np.inf, np.inf)
    assert "the quadratic prediction holds to 10% at all points" in str(quadratic)
    cubic = line(1 + OFFSETS**2 + np.where(OFFSETS > 0, 0.4 * OFFSETS**3, 0.0))  # a tenth of it at 0.25
    assert cubic.reach() == (-np.inf, pytest.approx(0.2))
    assert "the quadratic prediction holds to 10% from -1 to 0.2" in str(cubic)
    nowhere = line(2 + OFFSETS**2)
    assert str(nowhere.reach()) == "(0.0, 0.0)"
    assert "holds to 10% at no point next to 0" in str(nowhere)
    upwards = line([1.25, 2.0, 9.0], offsets=[0.5, 1.0, 2.0])
    assert "holds to 10% from 0 to 1" in str(upwards)
    upwards = line([3.0, 5.0, 9.0], offsets=[0.5, 1.0, 2.0])
    assert upwards.reach() == (-np.inf, 0)
    assert "holds to 10% at no point next to 0" in str(upwards)


def test_a_prediction_whose_terms_cancel_is_not_judged_by_their_difference():
    losses = 1 - OFFSETS + OFFSETS**2 + 0.01 * OFFSETS**3
    assert not line(losses, slope=-1.0).fails().any(), "though nothing changes at 1"


def test_rounding_and_what_is_not_finite():
    noisy = 1 + OFFSETS**2 + 1e-6 * (-1) ** np.arange(21)
    assert line(noisy, curvature=2.0).fails().sum() == 1, "the middle, where nothing should change"
    assert not line(noisy, rounding=1e-6).fails().any()
    losses = 1 + OFFSETS**2
    losses[-3:] = np.nan
    assert line(losses).reach() == (-np.inf, pytest.approx(0.7))
    assert "from 1 to 2" in str(line(losses))


def test_two_directions():
    x, y = np.meshgrid(OFFSETS, OFFSETS, indexing="ij")
    losses = 1 + 2 * x - y + 3 * x**2 + x * y + y**2
    plane = LossSlice(OFFSETS, losses, 1.0, [2.0, -1.0], [[6.0, 1.0], [1.0, 2.0]], [1.0, 1.0], 1e-12)
    np.testing.assert_allclose(plane.predictions(), losses)
    assert plane.reach() == (-np.inf, np.inf)
    beyond = losses + np.where(np.abs(y) > 0.55, 100.0, 0.0)
    cut = LossSlice(OFFSETS, beyond, 1.0, [2.0, -1.0], [[6.0, 1.0], [1.0, 2.0]], [1.0, 1.0], 1e-12)
    np.testing.assert_allclose(cut.reach(), (-0.5, 0.5))
    assert repr(cut) == "LossSlice(21 x 21 losses from -1 to 1)"
    assert cut.numbers()["reach"] == pytest.approx([-0.5, 0.5])
    assert plane.numbers()["reach"] == [None, None]


def test_impossible_content_is_refused():
    with pytest.raises(ValueError, match="Offsets of a slice must be ascending"):
        line(np.ones(21), offsets=OFFSETS[::-1])
    with pytest.raises(ValueError, match=r"one or two directions, and a loss at each point; got 1 and .* \(20, 1\)"):
        line(np.ones(20))
