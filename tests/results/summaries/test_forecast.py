"""How many products would resolve a window: a power of the steps, for probes that stay."""

import numpy as np
import pytest

from hessdens.results.intervals import count_interval
from hessdens.results.summaries.forecast import Narrowing


def narrowing(before=0.4, now=0.2, growth=2.0, **changes):
    """Return what a run left open of a fraction around one half, of a million eigenvalues."""
    shares = [np.array([[0.5 - width / 2], [0.5 + width / 2]]) for width in (before, now)]
    return Narrowing(
        *shares, **{"growth": growth, "num_products": 100, "num_probes": 4, "others": 10**6} | changes, size=10**6
    )


@pytest.mark.parametrize(("before", "power"), [(0.4, 1.0), (0.8, 2.0), (0.2, 0.0)])
def test_what_is_open_falls_with_the_power_of_this_run(before, power):
    for factor in (1.0, 2.0, 5.0):
        assert narrowing(before).width(factor, 0.95) == pytest.approx(0.2 * factor**-power, abs=2e-3)


def test_noise_of_probes_stays():
    noisy = narrowing(0.002, 0.001, num_probes=2, others=1_000)
    shares = np.array([[0.5], [0.5]])
    expected = np.ptp(count_interval(shares, 2, 1_000, 0.95)) / 10**6
    assert noisy.width(1e6, 0.95) == pytest.approx(expected, rel=1e-3)


def test_budgets_are_those_that_reach_a_part_of_the_width():
    products, probes = narrowing().budget_for(0.5, 0.95)
    assert (products, probes) == (pytest.approx(200, rel=0.1), 4)
    assert narrowing(0.8).budget_for(0.25, 0.95)[0] == pytest.approx(200, rel=0.1)


def test_where_probes_are_too_few_there_are_more():
    products, probes = narrowing(1e-9, 1e-9, num_probes=2, others=1_000).budget_for(0.5, 0.95)
    assert (products, probes) == (pytest.approx(800, rel=0.1), 16)


def test_too_many_products_are_not_foreseen():
    assert narrowing().budget_for(0.05, 0.95) is None  # 2,000
    assert narrowing(0.2).budget_for(0.5, 0.95) is None  # nothing was gained
    assert narrowing(growth=1.0).budget_for(0.5, 0.95) is None  # as many steps
    few = narrowing()
    assert Narrowing(few.earlier, few.shares, 2.0, 100, 4, 150, 150).budget_for(0.2, 0.95) is None
