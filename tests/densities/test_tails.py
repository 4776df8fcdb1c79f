"""Power laws of the largest eigenvalues."""

import numpy as np
import pytest

from hessdens import Spectrum, lanczos_density
from hessdens.densities.tails import power_law_tail


def test_a_tail_is_found_where_there_is_one():
    quantiles = (np.arange(400) + 0.5) / 400
    values = np.concatenate([np.linspace(0, 0.999, 2000), quantiles ** (-1 / 1.5)])
    tail = power_law_tail(Spectrum(values))
    assert tail.exponent.low <= 2.5 <= tail.exponent.high
    assert tail.start == pytest.approx(1, rel=0.2)
    assert tail.kolmogorov < 0.01
    assert str(tail).startswith(f"exponent {tail.exponent} of {tail.num_eigenvalues} eigenvalues from ")


def test_the_interval_of_an_exponent_holds_it_as_often_as_it_says():
    generator = np.random.default_rng(0)
    draws = generator.uniform(size=(400, 20)) ** (-1 / 2.0)
    held = [
        tail.exponent.low <= 3 <= tail.exponent.high
        for tail in (power_law_tail(Spectrum(row), 1.0, 0.9) for row in draws)
    ]
    assert 0.86 < np.mean(held) < 0.94


def test_a_tail_of_an_estimate_is_of_eigenvalues_found_one_by_one():
    values = np.concatenate([np.linspace(-0.01, 0.01, 500), np.linspace(0.05, 1, 30) ** -1.0])
    density = lanczos_density(np.diag(values), max_products=120)
    exact = power_law_tail(Spectrum(values), 2.0)
    found = power_law_tail(density, 2.0)
    assert found.exponent == pytest.approx(exact.exponent, rel=1e-6)
    assert found.num_eigenvalues == exact.num_eigenvalues
    with pytest.raises(ValueError, match=r"start must be at least .*; got 1e-05\. Take more products"):
        power_law_tail(density, 1e-5)
    with pytest.raises(ValueError, match=r"needs 5 different eigenvalues that were found one by one; got 0"):
        power_law_tail(lanczos_density(np.diag(values), max_products=4))


def test_a_start_must_be_a_size():
    with pytest.raises(ValueError, match=r"start must be positive and finite; got -1\.0"):
        power_law_tail(Spectrum([1.0, 2.0]), start=-1.0)
