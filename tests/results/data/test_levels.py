"""Moments as sums over levels: values, errors, intervals, costs, and how many examples were enough."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hessdens.results import Moments, MultilevelMoments


def of(samples, num_products, known=(0.0,)):
    return Moments.from_samples(np.add(samples, known), size=10, num_products=num_products)


FEW = of([[1.0, 4.0], [1.2, 4.4], [1.1, 4.8]], 30)
MORE = of([[-0.1, 0.5], [-0.2, 0.4], [-0.3, 0.6], [-0.2, 0.5]], 8)
ALL = of([[0.01, 0.0], [0.03, 0.1]], 2)
THREE = MultilevelMoments((FEW, MORE, ALL), (10, 100, 1_000))


def test_levels_add_up():
    np.testing.assert_allclose(THREE.values, FEW.values + MORE.values + ALL.values)
    errors = [part.standard_errors for part in (FEW, MORE, ALL)]
    np.testing.assert_allclose(THREE.standard_errors, np.sqrt(np.square(errors).sum(axis=0)))
    assert (THREE.trace, THREE.trace_error) == (10 * THREE.values[0], 10 * THREE.standard_errors[0])


def test_a_product_costs_its_examples_and_a_coupled_one_those_of_both():
    assert THREE.num_products == pytest.approx((30 * 10 + 8 * 110 + 2 * 1_100) / 1_000)


def test_what_is_deflated_is_multiplied_with_the_first_and_the_last_matrix():
    last = replace(ALL, num_deflated=1, num_products=3)
    three = MultilevelMoments((FEW, MORE, last), (10, 100, 1_000))
    assert three.num_products == pytest.approx(THREE.num_products + (1_000 + 10) / 1_000)


def test_intervals_of_symmetric_samples_are_those_of_welch_and_satterthwaite():
    halves = np.concatenate([np.linspace(-1, 1, 8), np.linspace(-1, 1, 8)])[:, None] + 0.0
    one, two = (Moments.from_samples(c + s * halves, size=10, num_products=1) for c, s in ((5.0, 1.0), (-1.0, 3.0)))
    both = MultilevelMoments((one, two), (1, 2))
    variance = np.array([one.standard_errors[0], two.standard_errors[0]]) ** 2
    freedom = variance.sum() ** 2 / np.sum(variance**2 / 15)
    width = stats.t.ppf(0.95, freedom) * np.sqrt(variance.sum())
    # Samples of the first level have one sign, so they count as skewed: the interval is shifted, not shrunk.
    low, high = both.interval(0.9)[:, 0]
    assert low < 4 < high
    assert high - low == pytest.approx(2 * width, rel=0.02)
    np.testing.assert_allclose(
        both.change_interval(0, 0.9)[:, 0], -1 + stats.t.ppf([0.05, 0.95], 15) * variance[1] ** 0.5, rtol=1e-3
    )


def test_enough_examples_are_those_whose_change_is_small_for_certain():
    change, error = THREE.change(1)
    np.testing.assert_allclose(change, ALL.values)
    np.testing.assert_allclose(error, ALL.standard_errors)
    assert THREE.change(2)[0].tolist() == [0.0, 0.0]
    assert THREE.change_interval(2).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    # One degree of freedom: the interval of the last change is twelve standard errors wide to either side.
    assert THREE.enough_examples(1e-9) == (1_000, 1_000)
    assert THREE.enough_examples(0.3) == (100, 10)
    assert THREE.enough_examples(100.0) == (10, 10)
    with pytest.raises(ValueError, match="rtol must be positive; got 0"):
        THREE.enough_examples(0)


def test_text_and_numbers_and_files(tmp_path):
    lines = str(THREE).splitlines()
    assert (
        lines[0]
        == "Moments of 10 eigenvalues from levels of 10, 100 and 1,000 examples, at the cost of 3.4 products with all"
    )
    assert lines[-2:] == [
        "  with 10 examples: m_1 = 1.1, larger by 0.18 ± 0.04",
        "  with 100 examples: m_1 = 0.9, smaller by 0.02 ± 0.01",
    ]
    numbers = THREE.numbers()
    assert [level["num_examples"] for level in numbers["levels"]] == [10, 100, 1_000]
    assert numbers["moments"][0]["low"] == THREE.interval()[0, 0]
    THREE.save(tmp_path / "levels.npz")
    again = MultilevelMoments.load(tmp_path / "levels.npz")
    assert str(again) == str(THREE)
    np.testing.assert_array_equal(again.interval(), THREE.interval())


def test_what_contradicts_itself_is_refused():
    with pytest.raises(ValueError, match="levels must be at least one, each with its num_examples; got 1 and 2"):
        MultilevelMoments((FEW,), (1, 2))
    with pytest.raises(ValueError, match=r"num_examples must ascend from 1 at least; got \[5, 5\]"):
        MultilevelMoments((FEW, MORE), (5, 5))
    other = Moments.from_samples([[1.0], [2.0]], size=10, num_products=2)
    with pytest.raises(ValueError, match="one size, with as many moments each"):
        MultilevelMoments((FEW, other), (5, 6))
