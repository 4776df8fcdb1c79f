"""Traces of layers as sums over levels: values, intervals, costs, texts and files."""

import numpy as np
import pytest
from scipy import stats

from hessdens.results import Certificates, LayerTraces, MultilevelTraces

CERTIFICATES = Certificates(1e-10, 12, 0.5, "")
RNG = np.random.default_rng(0)


def of(samples, num_products, names=("a", ""), sizes=(4, 2)):
    return LayerTraces.from_samples(np.array(samples), names, sizes, num_products, CERTIFICATES)


FEW = of(np.array([5.0, 0.0]) + RNG.standard_normal((8, 2)), 30)
ALL = of(np.array([-1.0, 0.0]) + 0.1 * RNG.standard_normal((6, 2)), 9)
BOTH = MultilevelTraces((FEW, ALL), (10, 1_000), 3)


def test_levels_add_up_and_cost_what_they_do():
    np.testing.assert_allclose(BOTH.values, FEW.values + ALL.values)
    np.testing.assert_allclose(BOTH.standard_errors, np.hypot(FEW.standard_errors, ALL.standard_errors))
    assert BOTH.of("a") == (BOTH.values[0], BOTH.standard_errors[0])
    # Directions are multiplied with the first and the last matrix, probes with the last two: the same ones here.
    assert BOTH.num_products == pytest.approx((30 * 10 + 9 * 1_010) / 1_000)
    three = MultilevelTraces((FEW, ALL, ALL), (10, 100, 1_000), 3)
    assert three.num_products == pytest.approx((300 + 9 * 110 + 9 * 1_100 + 3 * (10 - 100)) / 1_000)


def test_intervals_are_about_those_of_student():
    low, high = BOTH.interval(0.9)
    variances = np.stack([FEW.standard_errors, ALL.standard_errors]) ** 2
    freedom = variances.sum(axis=0) ** 2 / (variances**2 / [[7], [5]]).sum(axis=0)
    width = stats.t.ppf(0.95, freedom) * BOTH.standard_errors
    np.testing.assert_allclose(high - low, 2 * width, rtol=0.1)
    np.testing.assert_allclose(BOTH.half_widths(0.9), np.maximum(high - BOTH.values, BOTH.values - low))
    exact = of([[1.0, 2.0]] * 2, 6)
    assert MultilevelTraces((exact, exact), (10, 100), 0).interval().tolist() == [[2, 4], [2, 4]]


def test_enough_examples_of_each_layer():
    assert BOTH.enough_examples(0.9) == (10, 1_000)  # the second trace is 0 for all that is known


def test_texts_numbers_and_files(tmp_path):
    lines = str(BOTH).splitlines()
    source = "from levels of 10 and 1,000 examples, at the cost of 9.4 products with all"
    assert lines[0] == f"Traces of 2 layers ± standard errors, {source}"
    assert lines[1].startswith("  a: ")
    assert lines[2].startswith("  (the model itself): ")
    assert lines[-1].startswith("  cost: 12 products")
    numbers = BOTH.numbers()
    assert [level["num_examples"] for level in numbers["levels"]] == [10, 1_000]
    assert numbers["layers"][1]["high"] == BOTH.interval()[1, 1]
    BOTH.save(tmp_path / "levels.npz")
    assert str(MultilevelTraces.load(tmp_path / "levels.npz")) == str(BOTH)


def test_what_contradicts_itself_is_refused():
    with pytest.raises(ValueError, match="the same layers, of the same sizes"):
        MultilevelTraces((FEW, of(ALL.samples, 9, names=("a", "b"))), (10, 100), 0)
    with pytest.raises(ValueError, match="num_deflated must be at least 0; got -1"):
        MultilevelTraces((FEW, ALL), (10, 100), -1)
    with pytest.raises(ValueError, match="num_examples must ascend"):
        MultilevelTraces((FEW, ALL), (10, 10), 0)
