"""`ChebyshevMoments`: statistics, conversions, consistency, and files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hessdens
from hessdens import Spectrum
from hessdens.results import ChebyshevMoments, Moments
from hessdens.results.chebyshev import chebyshev_from_power
from hessdens.results.support import Interval
from hessdens.testing import spectra

SAMPLES = np.array([[0.5, 0.1], [0.1, -0.3], [0.3, -0.1]])


def example():
    return ChebyshevMoments.from_samples(SAMPLES, support=(-1, 3), size=10, num_products=3)


def exact(eigenvalues, order, support=None):
    weights = np.full(len(eigenvalues), 1 / len(eigenvalues))
    return ChebyshevMoments.from_quadrature(eigenvalues, weights, order, support=support)


def test_mean_standard_error_and_interval():
    result = example()
    np.testing.assert_allclose(result.values, [0.3, -0.1])
    np.testing.assert_allclose(result.standard_errors, [0.2 / np.sqrt(3), 0.2 / np.sqrt(3)])
    assert (result.num_probes, result.size, result.num_products) == (3, 10, 3)
    assert (result.support.centre, result.support.half_width) == (1.0, 2.0)


def test_immutable():
    with pytest.raises(ValueError, match="read-only"):
        example().values[0] = 1
    with pytest.raises(AttributeError):
        example().support = (0, 1)


@given(spectra(), st.integers(1, 8))
def test_moments_of_a_spectrum_are_those_of_the_polynomials(eigenvalues, order):
    result = exact(eigenvalues, order)
    x = (eigenvalues - result.support.centre) / result.support.half_width
    expected = [np.polynomial.chebyshev.chebval(x, np.eye(order + 1)[k]).mean() for k in range(1, order + 1)]
    np.testing.assert_allclose(result.values, expected, atol=1e-11)
    assert result.support.low < eigenvalues.min() <= eigenvalues.max() < result.support.high


@given(spectra(), st.integers(1, 8))
def test_power_moments_and_back(eigenvalues, order):
    result = exact(eigenvalues, order)
    power = result.power_moments(order)
    size = (abs(result.support.centre) + result.support.half_width) ** np.arange(1, order + 1)
    np.testing.assert_allclose(power.values / size, Spectrum(eigenvalues).moments(order) / size, atol=1e-13)
    back = chebyshev_from_power(power, result.support)
    np.testing.assert_allclose(
        back.values, result.values, atol=1e-15 * (4 * size[0] / result.support.half_width) ** order
    )


def test_conversions_carry_the_errors_of_samples():
    """Moments of different orders are correlated, so errors are those of converted samples."""
    samples = np.random.default_rng(0).uniform(-0.2, 0.2, (20, 3))
    samples[:, 2] = samples[:, 0]
    moments = ChebyshevMoments.from_samples(samples, support=(-2, 6), size=9, num_products=40)
    power = moments.power_moments(3)
    np.testing.assert_allclose(power.values, power.samples.mean(axis=0))
    np.testing.assert_allclose(power.standard_errors, power.samples.std(axis=0, ddof=1) / np.sqrt(20))
    back = chebyshev_from_power(power, (-2, 6))
    np.testing.assert_allclose(back.samples, samples, atol=1e-12)
    np.testing.assert_allclose(back.standard_errors, moments.standard_errors)
    assert (power.size, power.num_products, back.size, back.num_products) == (9, 40, 9, 40)


def test_errors_beyond_the_samples_are_kept():
    """Deflated moments state rounding that their samples do not have."""
    moments = Moments([1.0, 2.0], [0.3, 0.4], np.tile([1.0, 2.0], (2, 1)), 5, 3)
    converted = chebyshev_from_power(moments, (-2, 2))
    np.testing.assert_allclose(converted.values, [0.5, 0.0], atol=1e-15)
    np.testing.assert_allclose(converted.standard_errors, [0.15, 0.2])


def test_quadratures_of_several_probes():
    nodes, weights = np.array([[0.0, 1.0], [0.5, 2.0]]), np.array([[0.5, 0.5], [0.25, 0.75]])
    both = ChebyshevMoments.from_quadrature(nodes, weights, 3, support=(0, 2), size=7, num_products=4)
    single = [ChebyshevMoments.from_quadrature(n, w, 3, support=(0, 2)) for n, w in zip(nodes, weights, strict=True)]
    np.testing.assert_array_equal(both.samples, [one.values for one in single])
    np.testing.assert_array_equal(single[0].standard_errors, 0)
    assert (both.size, both.num_products, both.num_probes) == (7, 4, 2)


@given(spectra(), st.integers(1, 20))
def test_moments_of_a_density_are_consistent(eigenvalues, order):
    assert exact(eigenvalues, order).toeplitz_eigenvalue() > -1e-12


def test_eigenvalues_outside_are_seen():
    values = np.polynomial.chebyshev.chebvander(np.array([1.1, 0.0]), 8).mean(axis=0)[1:]
    moments = ChebyshevMoments(values, np.zeros(8), values[None], (-1, 1), 2, 0)
    assert moments.toeplitz_eigenvalue() < -0.1


def test_summary():
    assert str(example()).splitlines() == [
        "Chebyshev moments of 10 eigenvalues in [-1, 3] from 3 probes, 3 products",
        "  μ_1 =  3.0000e-01 ± 1.2e-01",
        "  μ_2 = -1.0000e-01 ± 1.2e-01",
    ]
    assert len(str(exact(np.arange(5.0), 64)).splitlines()) == 7


def test_files(tmp_path):
    example().save(tmp_path / "m.npz")
    loaded = ChebyshevMoments.load(tmp_path / "m.npz")
    for name in ("values", "standard_errors", "samples", "support", "size", "num_products", "certificates"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(example(), name))
    assert isinstance(loaded.size, int)
    assert isinstance(loaded.support, Interval)


@pytest.mark.parametrize("support", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_bad_supports(support):
    with pytest.raises(ValueError, match=r"support must be \(low, high\), finite, with low < high; got"):
        ChebyshevMoments.from_samples(SAMPLES, support=support, size=3, num_products=1)


def test_bad_moments():
    with pytest.raises(ValueError, match=r"at least 2 probes; got shape \(1, 4\)"):
        ChebyshevMoments.from_samples(np.ones((1, 4)), support=(0, 1), size=3, num_products=1)
    with pytest.raises(ValueError, match=r"must have shape \(P, K\), .*; got \(2, 3\), \(2,\) and \(3,\)"):
        ChebyshevMoments(np.ones(2), np.ones(3), np.ones((2, 3)), (0, 1), 3, 1)
    with pytest.raises(ValueError, match="order must be from 1 to 2, the moments that there are; got 3"):
        example().power_moments(3)


@pytest.mark.parametrize(
    ("nodes", "weights", "arguments", "message"),
    [
        ([0.0, 1.0], [1.0], {}, r"must both have shape \(n,\) or \(P, n\); got \(2,\), \(1,\)"),
        ([0.0, np.nan], [0.5, 0.5], {}, "nodes and weights must be finite; got NaN or infinity"),
        ([0.0, 1.0], [0.5, 0.6], {}, "weights must sum to 1 along the last axis; got sums 1.1"),
        ([0.0, 1.0], [0.5, 0.5], {"num_moments": 0}, "num_moments must be at least 1; got 0"),
        ([0.0, 1.0], [0.5, 0.5], {"support": (0, 0.5)}, r"hold all nodes, which reach from 0.0 to 1.0; got \[0, 0.5"),
    ],
)
def test_bad_quadratures(nodes, weights, arguments, message):
    with pytest.raises(ValueError, match=message):
        ChebyshevMoments.from_quadrature(nodes, weights, **arguments)


def test_densities_and_bounds_do_not_import_torch():
    code = (
        "import sys, types; package = types.ModuleType('hessdens'); "
        f"package.__path__ = [{str(Path(hessdens.__file__).parent)!r}]; sys.modules['hessdens'] = package; "
        "import hessdens.results.chebyshev, hessdens.densities; "
        "print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_summary_of_many_moments_has_the_first_four_and_the_last():
    lines = str(exact(np.arange(5.0), 9)).splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["μ_1", "μ_2", "μ_3", "μ_4", "...", "μ_9"]
    assert len(str(exact(np.arange(5.0), 8)).splitlines()) == 9


def test_numbers():
    numbers = example().numbers()
    assert numbers["chebyshev_moments"][1] == {
        "order": 2, "value": pytest.approx(-0.1), "standard_error": pytest.approx(0.2 / np.sqrt(3))
    }  # fmt: skip
    assert {name: numbers[name] for name in ("size", "num_products", "num_probes", "support")} == {
        "size": 10, "num_products": 3, "num_probes": 3, "support": [-1.0, 3.0]
    }  # fmt: skip


def test_toeplitz_eigenvalue_of_three_moments():
    """Of 1, μ_1, μ_2: the matrix [[1, a, b], [a, 1, a], [b, a, 1]]."""
    moments = ChebyshevMoments([0.3, -0.2], [0, 0], [[0.3, -0.2]], (-1, 1), 2, 0)
    expected = np.linalg.eigvalsh([[1, 0.3, -0.2], [0.3, 1, 0.3], [-0.2, 0.3, 1]])[0]
    assert moments.toeplitz_eigenvalue() == pytest.approx(expected)
