"""What every density answers from its cdf, and what is no density."""

import numpy as np
import pytest
from naive import Normal
from scipy import stats

from hessdens.densities.base import add_intervals, check_density, default_bandwidth, in_chunks
from hessdens.results import Moments
from hessdens.results.summaries.text import percent


def test_mass_and_fractions_come_from_the_cdf():
    density, reference = Normal(0.5), stats.norm(0.5)
    assert density.mass(-1, 2) == pytest.approx(reference.cdf(2) - reference.cdf(-1))
    assert density.mass(-np.inf, np.inf) == 1
    assert density.fraction_degenerate(0.4) == density.mass(-0.2, 0.2)
    assert density.fraction_negative(0.4) == reference.cdf(-0.2)
    assert density.fraction_degenerate() == density.fraction_degenerate(0.2)
    with pytest.raises(ValueError, match="low must not exceed high; got 1 and 0"):
        density.mass(1, 0)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (Moments.from_samples([[1.0], [2.0]], size=4, num_products=2), r"pass fit_mixture\(moments\)\.mixture"),
        (np.ones(3), r"Eigenvalues are one as Spectrum\(eigenvalues\)"),
        (type("Fit", (), {"mixture": Normal(0)})(), r"got Fit\. Pass its mixture, as in fit\.mixture"),
        (3, r"got int\.$"),
    ],
)
def test_what_is_no_density(value, hint):
    with pytest.raises(TypeError, match=rf"r\.npz must be a density \(a Spectrum, .*{hint}"):
        check_density(value, "r.npz")
    check_density(Normal(0), "r.npz")


class Intervals:
    def degenerate_interval(self, window, level):
        return np.array([window, level])

    def negative_interval(self, window, level):
        return np.array([0.0, 0.2])


def test_intervals_of_fractions():
    numbers = {"fractions": {"degenerate": {"value": 0.5}, "negative": {"value": 0.1}}}
    add_intervals(numbers, Intervals(), 0.2, 0.95)
    assert numbers["fractions"] == {
        "degenerate": {"value": 0.5, "low": 0.2, "high": 0.95},
        "negative": {"value": 0.1, "low": 0.0, "high": 0.2},
    }


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0, "0.00%"), (1, "100.00%"), (0.5, "50.00%"), (0.9998, "99.9800%"), (2.5e-9, "0.000000250%")],
)
def test_percentages_show_the_distance_from_the_ends(fraction, text):
    assert percent(fraction) == text


@pytest.mark.parametrize(
    ("spread", "position", "bandwidth"), [(2, 9, 0.02), (1e-6, 9, 1e-8), (0, -5, 5e-3), (0, 0, 1e-6)]
)
def test_bandwidth_is_positive_without_any_spread(spread, position, bandwidth):
    assert default_bandwidth(spread, position) == pytest.approx(bandwidth)


@pytest.mark.parametrize("pairs", [1, 12, 100])
def test_chunks_make_no_difference(pairs, monkeypatch):
    monkeypatch.setattr("hessdens.densities.base.PAIRS_PER_CHUNK", pairs)
    x, sizes = np.arange(6.0).reshape(2, 3), []

    def sums(points):
        sizes.append(len(points))
        return (points + np.arange(4)).sum(axis=1)

    np.testing.assert_array_equal(in_chunks(sums, x, 4), 4 * x + 6)
    assert max(sizes) == {1: 1, 12: 3, 100: 6}[pairs]
    assert in_chunks(sums, np.empty(0), 4).shape == (0,)


def test_numbers_of_every_density():
    density = Normal(0.5)
    numbers = density._numbers(0.4, 0.9)
    assert (numbers["lowest"], numbers["highest"]) == (density.nodes()[0], density.nodes()[-1])
    assert [(row["order"], row["value"]) for row in numbers["moments"]] == [*enumerate(density.moments(4), start=1)]
    assert numbers["fractions"] == {
        "window": 0.4,
        "level": 0.9,
        "degenerate": {"value": density.fraction_degenerate(0.4)},
        "negative": {"value": density.fraction_negative(0.4)},
    }
