"""Densities by Lanczos: exact where the space is, quadrature elsewhere, with intervals and certificates that hold."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import NETWORK, RNG, diagonal

from hessdens import NonFiniteError, Spectrum, as_operator, compare, lanczos_density
from hessdens.densities import LanczosDensity
from hessdens.densities.interpolation import QuadratureCdf
from hessdens.estimators import run
from hessdens.linalg.probes import operator_probes
from hessdens.testing import rotated, symmetric_matrices


def quantities(density):
    return np.array([density.fraction_degenerate(), density.fraction_negative(0.01), *density.cdf([-0.01, 0.005, 0.1])])


@settings(max_examples=60)
@given(symmetric_matrices(), st.integers(2, 4), st.booleans())
def test_is_exact_once_the_space_is_all(case, num_probes, low_memory):
    matrix, eigenvalues = case
    if low_memory:  # one vector sees each eigenvalue once, with a weight that is random unless all are equal
        matrix, eigenvalues = np.diag(np.full(len(matrix), 2.0)), np.full(len(matrix), 2.0)
    density = lanczos_density(matrix, num_probes=num_probes, num_steps=len(matrix) + 1, low_memory=low_memory)
    scale = max(1e-6, np.abs(eigenvalues).max())
    comparison = compare(density, Spectrum(eigenvalues))
    distinct = np.unique(np.round(eigenvalues / scale, 9), return_counts=True)[1]
    if (distinct < num_probes).all() or len(distinct) == 1:
        assert comparison.wasserstein <= 1e-8 * scale
    np.testing.assert_allclose(
        density.quadrature.weights.sum(axis=1) + len(density.quadrature.eigenvalues) / density.size, 1, rtol=1e-12
    )
    assert density.certificates.warnings() == ()
    assert density.num_products <= num_probes * (len(matrix) + 1)


@pytest.mark.parametrize("low_memory", [False, True])
def test_moments_are_those_of_the_probes(low_memory):
    # Gauss quadrature of s steps is exact for each probe up to degree 2s - 1, whatever was deflated only in the mean.
    matrix = rotated(np.linspace(-1, 2, 60), RNG)
    density = lanczos_density(matrix, num_probes=3, num_steps=5, low_memory=low_memory, seed=4)
    probes = operator_probes(as_operator(matrix), 4, 0, 3, "gaussian").numpy()
    assert len(density.quadrature.eigenvalues) == 0
    lengths = np.sum(probes**2, axis=0)
    for k in range(1, 10):
        samples = np.sum(probes * (np.linalg.matrix_power(matrix, k) @ probes), axis=0) / lengths
        np.testing.assert_allclose(
            density.quadrature.weights @ density.quadrature.abscissae**k, samples, rtol=1e-9, atol=1e-9
        )


def test_outliers_are_found_with_errors_below_their_residuals():
    density = lanczos_density(diagonal(NETWORK), max_products=100)
    found = density.eigenvalues_found
    assert len(found) >= 20
    nearest = np.min(np.abs(NETWORK[:, None] - found), axis=0)
    assert (nearest <= density.eigenvalue_errors + 1e-12).all()
    np.testing.assert_allclose(found[-15:], NETWORK[-15:], rtol=1e-6)
    error = abs(density.fraction_degenerate() / np.mean(np.abs(NETWORK) < 0.1) - 1)
    assert error < 0.01


@pytest.mark.parametrize("outliers", [[], [5.0, 9.0]])
@pytest.mark.parametrize("shift", [0.0, 3.0])
@pytest.mark.parametrize("num_steps", [6, 25])
def test_a_band_of_eigenvalues_is_no_atom(outliers, shift, num_steps):
    """Its Ritz values overlap by their residuals, as those of a multiple eigenvalue do, but spread as the band does."""
    band = np.cos(np.pi * (np.arange(500) + 0.5) / 500)
    eigenvalues = shift + np.sort(np.concatenate([band, outliers]))
    density = lanczos_density(diagonal(eigenvalues), num_probes=4, num_steps=num_steps)
    assert not density.quadrature.atoms.any()
    np.testing.assert_allclose(density.moments(2), Spectrum(eigenvalues).moments(2), atol=0.12 * (1 + shift) ** 2)
    x = shift + np.linspace(-1.5, 1.5, 9)
    low, high = density.cdf_interval(x, level=0.999)
    exact = Spectrum(eigenvalues).cdf(x)
    assert np.all((low - 1e-9 <= exact) & (exact <= high + 1e-9))


def test_multiple_eigenvalues_are_counted_where_the_block_is_wide_enough_and_estimated_elsewhere():
    eigenvalues = np.concatenate([np.zeros(90), np.full(3, 5.0), np.full(7, 9.0)])
    density = lanczos_density(diagonal(eigenvalues), num_probes=5, num_steps=10)
    assert np.allclose(density.quadrature.eigenvalues, 5.0)
    assert len(density.quadrature.eigenvalues) == 3
    assert density.quadrature.atoms.all()
    np.testing.assert_allclose(density.quadrature.abscissae, [0, 9], atol=1e-12)
    assert density.mass(-1, 1) + density.mass(8, 10) == pytest.approx(0.97)
    # Steps, nothing smeared; rounding differs from processor to processor.
    assert density.cdf(1e-9) == pytest.approx(density.cdf(4.9), rel=1e-13)


@pytest.mark.parametrize("low_memory", [False, True])
def test_smooth_densities_are_read_from_few_nodes(low_memory):
    """Ritz values of several probes are irregular: half of their weights left of them is off by twice as much."""
    quantiles = (np.arange(20_000) + 0.5) / 20_000
    eigenvalues = np.sin(np.pi * (quantiles - 0.5))  # the arcsine density
    x = np.linspace(-0.7, 0.7, 57)
    exact = 0.5 + np.arcsin(x) / np.pi
    errors = np.zeros(2)
    for seed in range(8):
        density = lanczos_density(diagonal(eigenvalues), max_products=80, seed=seed, low_memory=low_memory)
        quadrature = density.quadrature
        points = QuadratureCdf(quadrature.abscissae, quadrature.mean_weights())
        found = np.searchsorted(density.eigenvalues_found, x) / 20_000
        errors += [np.abs(density.cdf(x) - exact).mean(), np.abs(points(x) + found - exact).mean()]
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize(("accuracy", "allowed"), [({"rtol": 0.2}, 0.2), ({"atol": 0.01, "window": 0.1}, None)])
def test_stops_as_soon_as_the_interval_is_narrow_enough(accuracy, allowed):
    """In each of 40 seeds the error is as asked; with the budget ten products before, the interval was too wide."""
    operator, exact = diagonal(NETWORK), Spectrum(NETWORK)
    window = accuracy.get("window", 0.2)
    outside = 1 - exact.fraction_degenerate(window)
    tolerance = accuracy["atol"] if allowed is None else allowed * outside
    within, products = 0, []
    for seed in range(40):
        density = lanczos_density(operator, **accuracy, seed=seed)
        within += abs(1 - density.fraction_degenerate(window) - outside) <= tolerance
        products.append(density.num_products)
        inside, ends = density.fraction_degenerate(window), density.degenerate_interval(window)
        limit = accuracy.get("atol", 0) if allowed is None else allowed * (1 - inside)
        assert np.abs(ends - inside).max() <= limit
    assert within >= 38
    assert max(products) < 300
    before = lanczos_density(operator, num_probes=4, max_products=int(products[-1] / 1.1) - 8, seed=39)
    inside, ends = before.fraction_degenerate(window), before.degenerate_interval(window)
    assert np.abs(ends - inside).max() > (accuracy.get("atol", 0) if allowed is None else allowed * (1 - inside))


def test_an_accuracy_that_the_budget_does_not_reach_is_told_with_what_it_takes():
    words = (
        r"rtol=0.2 was not reached: the fraction outside of the window is \d\.\d%, 95% interval \d\.\d% to \d\.\d%, "
        r"after 40 products of max_products=40\. About \d+ would do \(max_products=\d+, num_probes=\d+\)\."
    )
    with pytest.warns(UserWarning, match=words):
        lanczos_density(diagonal(NETWORK), rtol=0.2, max_products=40)
    with pytest.warns(UserWarning, match="They do not show how many would do; ask for less, or for another window"):
        lanczos_density(diagonal(NETWORK), rtol=0.01, max_products=40)
    with pytest.warns(UserWarning, match=r"It may be 0; ask for an absolute accuracy, such as atol=0.001"):
        lanczos_density(diagonal(np.linspace(-1, 1, 1000)), rtol=0.1, window=1.98, max_products=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exhausted = lanczos_density(diagonal(np.array([1.0, 2.0, 3.0])), rtol=1e-6)
    assert exhausted.degenerate_interval().tolist() == [0, 0]


def test_intervals_cover():
    # Sized to fail for intervals that are too short by a third: 200 seeds, at least 91%.
    exact = quantities(Spectrum(NETWORK))
    operator, held = diagonal(NETWORK), []
    for seed in range(200):
        density = lanczos_density(operator, max_products=60, seed=seed)
        ends = np.column_stack(
            [density.degenerate_interval(), density.negative_interval(0.01), density.cdf_interval([-0.01, 0.005, 0.1])]
        )
        held.append((ends[0] - 1e-12 <= exact) & (exact <= ends[1] + 1e-12))
    assert (np.mean(held, axis=0) >= 0.91).all()


@pytest.mark.parametrize("max_products", [8, 12, 20])
def test_intervals_cover_where_few_steps_cannot_tell_a_band_from_an_eigenvalue(max_products):
    """Its Ritz values then lie as close together as those of a multiple eigenvalue, far from all others."""
    eigenvalues = 20 * NETWORK  # 34% within the window, 26% below it
    exact = np.array([np.mean(np.abs(eigenvalues) < 0.1), np.mean(eigenvalues <= -0.1)])
    operator, held = diagonal(eigenvalues), []
    for seed in range(30):
        density = lanczos_density(operator, max_products=max_products, seed=seed)
        low, high = np.stack([density.degenerate_interval(), density.negative_interval()], axis=1)
        held.append((low <= exact) & (exact <= high))
    assert (np.mean(held, axis=0) >= 0.9).all()


def test_intervals_of_bins_cover():
    edges = np.array([-1.0, -0.01, -0.003, 0.0, 0.003, 0.01, 0.1, 2.0, 30.0])
    exact = np.diff(Spectrum(NETWORK).cdf(edges))
    operator, held = diagonal(NETWORK), []
    for seed in range(200):
        low, high = lanczos_density(operator, max_products=60, seed=seed).mass_interval(edges)
        held.append((low - 1e-12 <= exact) & (exact <= high + 1e-12))
    assert (np.mean(held, axis=0) >= 0.91).all()


def test_moment_intervals_cover():
    exact = Spectrum(NETWORK).moments(3)
    operator, held = diagonal(NETWORK), []
    for seed in range(200):
        low, high = lanczos_density(operator, max_products=100, num_probes=6, seed=seed).moments_interval(3)
        held.append((low <= exact) & (exact <= high))
    coverage = np.mean(held, axis=0)
    assert (coverage >= 0.9).all()
    assert coverage[0] < 1


def test_intervals_shrink_with_products():
    operator = diagonal(NETWORK)
    widths = [np.ptp(lanczos_density(operator, max_products=m).cdf_interval(0.05)) for m in (30, 300)]
    assert widths[1] < widths[0] / 3


@pytest.mark.parametrize("low_memory", [False, True])
def test_single_precision(low_memory):
    products = 400 if low_memory else 60
    double = lanczos_density(diagonal(NETWORK), max_products=products, low_memory=low_memory)
    single = lanczos_density(diagonal(NETWORK, torch.float32), max_products=products, low_memory=low_memory)
    assert single.certificates.warnings() == ()
    which = [0, 4] if low_memory else slice(None)  # without orthogonality the bulk is not resolved
    np.testing.assert_allclose(quantities(single)[which], quantities(double)[which], atol=0.02)
    assert single.quadrature.weights.dtype == np.float64


def test_breakdown_of_low_memory():
    # Two distinct eigenvalues: every probe's recurrence ends after two steps.
    density = lanczos_density(diagonal(np.repeat([1.0, 3.0], 10)), num_probes=3, num_steps=15, low_memory=True)
    assert (density.num_steps, density.num_products) == (2, 6)
    np.testing.assert_allclose(density.quadrature.abscissae, [1, 1, 1, 3, 3, 3], rtol=1e-12)


@pytest.mark.parametrize("eigenvalues", [[3.0], [0.0], [0.0] * 7, [2.0] * 9, [-1.0, 1.0]])
@pytest.mark.parametrize("low_memory", [False, True])
def test_trivial_operators(eigenvalues, low_memory):
    density = lanczos_density(diagonal(eigenvalues), num_steps=4, num_probes=3, low_memory=low_memory)
    np.testing.assert_allclose(np.unique(np.round(density.nodes(), 12)), np.unique(eigenvalues))
    assert density.cdf(5.0) == pytest.approx(1)
    assert density.pdf(eigenvalues[0]) > 0
    assert "degenerate" in str(density)


def test_certificates_see_what_is_wrong():
    matrix = torch.from_numpy(rotated(np.linspace(-1, 2, 50), RNG))
    skew = torch.triu(0.01 * torch.ones(50, 50, dtype=torch.float64), 1)
    for low_memory in (False, True):
        wrong = as_operator(lambda V: (matrix + skew - skew.T) @ V, size=50, dtype=torch.float64, check_symmetric=False)
        density = lanczos_density(wrong, num_steps=8, num_probes=3, low_memory=low_memory)
        assert density.certificates.symmetry > 1e-3
        assert "WARNING: the operator's products are not symmetric" in str(density)
    calls = []

    def drifting(V):
        calls.append(None)
        return (1 + 1e-3 * len(calls)) * matrix @ V

    operator = as_operator(drifting, size=50, dtype=torch.float64, check_symmetric=False)
    assert lanczos_density(operator, num_steps=8, num_probes=3).certificates.symmetry > 1e-6


def test_is_the_same_for_the_same_seed_and_saved_whole(tmp_path):
    density = lanczos_density(diagonal(NETWORK), max_products=60, seed=5)
    again = lanczos_density(diagonal(NETWORK), max_products=60, seed=5)
    other = lanczos_density(diagonal(NETWORK), max_products=60, seed=6)
    np.testing.assert_array_equal(density.quadrature.weights, again.quadrature.weights)
    assert not np.array_equal(density.quadrature.eigenvalues, other.quadrature.eigenvalues)
    density.save(tmp_path / "density.npz")
    loaded = LanczosDensity.load(tmp_path / "density.npz")
    assert str(loaded) == str(density)
    np.testing.assert_array_equal(loaded.cdf(NETWORK), density.cdf(NETWORK))
    with pytest.raises(ValueError, match="read-only"):
        loaded.quadrature.weights[0, 0] = 1
    Spectrum([1.0]).save(tmp_path / "other.npz")
    with pytest.raises(ValueError, match="must hold a saved LanczosDensity; it holds Spectrum"):
        LanczosDensity.load(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("options", "spent", "probes"),
    [
        ({}, 100, 4),
        ({"max_products": 200}, 198, 6),
        ({"max_products": 4}, 4, 2),
        ({"num_steps": 10}, 60, 6),
        ({"num_probes": 3}, 90, 3),
        ({"max_products": 40, "num_steps": 8}, 40, 5),
        ({"max_products": 40, "num_probes": 7}, 35, 7),
        ({"max_products": 40, "num_steps": 8, "num_probes": 4}, 32, 4),
    ],
)
def test_budget(options, spent, probes):
    count = 0

    def multiply(V):
        nonlocal count
        count += V.shape[1]
        return torch.from_numpy(NETWORK)[:, None] * V

    density = lanczos_density(as_operator(multiply, size=len(NETWORK), dtype=torch.float64), **options)
    checks = 2  # products with which as_operator looks at a callable
    assert density.num_products == spent
    assert count - spent <= checks
    assert density.num_probes == probes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 1}, "num_steps must be at least 2; got 1"),
        ({"num_probes": 1}, "num_probes must be at least 2; got 1"),
        ({"max_products": 3}, "max_products must be at least 4 for 2 steps of 2 probes; got 3"),
        ({"max_products": 11, "num_steps": 4, "num_probes": 3}, "at least 12 for 4 steps of 3 probes; got 11"),
        ({"max_products": -5}, "max_products must be at least 4"),
        ({"seed": -1}, "seed must be a non-negative integer"),
        ({"distribution": "cauchy"}, "distribution must be one of"),
        ({"rtol": 0.0}, "rtol must lie between 0 and 1; got 0.0"),
        ({"atol": np.nan}, "atol must lie between 0 and 1; got nan"),
        ({"rtol": 0.1, "num_steps": 9}, "num_steps or rtol may be given, not both; got 9 and 0.1"),
        ({"rtol": 0.1, "max_products": 3}, "max_products must be at least 4"),
        ({"rtol": 0.1, "window": -1.0}, "window must be finite and at least 0; got -1.0"),
        ({"atol": 0.1, "window": "one"}, "window must be a number, or a share"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        lanczos_density(diagonal([1.0, 2.0]), **options)


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({}, 8 * 1000 * 4 * (25 + 2) + 8 * (4 * (25 + 2)) ** 2),
        ({"num_probes": 50, "num_steps": 1000}, 8 * 1000 * (50 + 1000) + 8 * 1050**2),  # no more vectors than N
        ({"low_memory": True}, 8 * 1000 * 4 * 4 + 8 * 2 * 25 * 4),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_done(options, most, monkeypatch):
    made = []
    operator = as_operator(lambda V: made.append(V.shape[1]) or V, size=1000, check_symmetric=False)
    monkeypatch.setattr(run, "free_bytes", lambda device: most - 1)
    advice = "Take fewer of them.$" if "low_memory" in options else "Take fewer of them, or low_memory.$"
    with pytest.raises(
        MemoryError, match=rf"lanczos_density with .* steps of .* probes needs about .* are free. {advice}"
    ):
        lanczos_density(operator, **options)
    assert made == []
    monkeypatch.setattr(run, "free_bytes", lambda device: most)
    lanczos_density(operator, **options)


@pytest.mark.parametrize("low_memory", [False, True])
def test_products_that_are_not_finite_are_named(low_memory):
    calls = []

    def multiply(V):
        W = torch.linspace(1, 2, 30, dtype=torch.float64)[:, None] * V
        calls.append(V.shape[1])
        if calls.count(4) == 3:
            W[5, 2] = float("nan")
        return W

    operator = as_operator(multiply, size=30, dtype=torch.float64)
    with pytest.raises(NonFiniteError, match=r"2 in Lanczos step 3 is not"):
        lanczos_density(operator, num_steps=6, num_probes=4, low_memory=low_memory)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_agrees_on_cuda():
    entries = torch.tensor(NETWORK, device="cuda")[:, None]
    operator = as_operator(lambda V: entries * V, size=len(NETWORK), dtype=torch.float64, device="cuda")
    there, here = lanczos_density(operator), lanczos_density(diagonal(NETWORK))
    np.testing.assert_allclose(quantities(there), quantities(here), atol=1e-9)


@pytest.mark.parametrize("low_memory", [False, True])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_certificates_are_relative(scale, low_memory):
    """Rounding is no defect in any unit of the eigenvalues."""
    matrix = scale * rotated(np.linspace(-1, 3, 60), np.random.default_rng(0))
    certificates = lanczos_density(matrix, num_probes=3, num_steps=8, low_memory=low_memory).certificates
    assert certificates.warnings() == ()
    assert max(certificates.trace, certificates.frobenius) < 1e-13


HALF = np.geomspace(1e-5, 5, 150)
HARD = {
    "symmetric log-uniform": np.concatenate([HALF, -HALF]),
    "log-uniform": np.geomspace(1e-12, 1e2, 300),
    "a shoulder across the edge": np.concatenate([1e-3 * RNG.standard_normal(270), np.linspace(0.01, 0.3, 30)]),
    "zeros inside a band": np.concatenate([np.zeros(150), np.linspace(-0.5, 1, 150)]),
    "all equal": np.full(300, 0.1),
    "two points": np.repeat([-1.0, 1.0], [90, 210]),
    "as many points as windows have ends": np.repeat([-0.1, -0.001, 0.001, 0.1, 4.0], [40, 60, 150, 49, 1]),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("options", [{}, {"low_memory": True}, {"dtype": torch.float32}, {"max_products": 20}])
def test_intervals_cover_in_windows_of_any_width(name, options):
    """Of 12 runs each, one interval may miss each number: intervals of 70% would fail in 92% of all cases."""
    options, eigenvalues = dict(options), HARD[name]
    operator = diagonal(eigenvalues, options.pop("dtype", torch.float64))
    windows, median, edges = (0.2, 2e-3), np.median(eigenvalues), np.array([-0.1, -1e-3, 0.0, 1e-3, 0.05])
    spectrum, held = Spectrum(eigenvalues), []
    numbers = [spectrum.fraction_degenerate(w) for w in windows] + [spectrum.fraction_negative(w) for w in windows]
    exact = np.array([*numbers, spectrum.cdf(median), *np.diff(spectrum.cdf(edges))])
    for seed in range(12):
        density = lanczos_density(operator, seed=seed, **options)
        ends = [density.degenerate_interval(w) for w in windows] + [density.negative_interval(w) for w in windows]
        low, high = np.column_stack([*ends, density.cdf_interval(median), density.mass_interval(edges)])
        held.append((low - 1e-9 <= exact) & (exact <= high + 1e-9))
    assert (np.sum(held, axis=0) >= 11).all()


@pytest.mark.parametrize("max_products", [20, 50])
def test_moment_intervals_cover_where_an_outlier_is_missed(max_products):
    """All probes may have little weight in an eigenvalue, which then is neither found nor in the samples."""
    eigenvalues = np.concatenate([1e-3 * RNG.standard_normal(350), np.linspace(0.01, 0.3, 40), np.geomspace(1, 30, 10)])
    operator, exact, held = diagonal(eigenvalues), Spectrum(eigenvalues).moments(4), []
    for seed in range(60):
        low, high = lanczos_density(operator, max_products=max_products, seed=seed).moments_interval(4)
        held.append((low <= exact) & (exact <= high))
    assert (np.mean(held, axis=0) >= 0.9).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_rounding_hides_the_window_the_cure_is_float64(dtype):
    """An outlier of 1e9 and a bulk of size 1: in float32 all that is small is rounding."""
    generator = torch.Generator().manual_seed(0)
    eigenvalues = torch.randn(400, dtype=torch.float64, generator=generator)
    eigenvalues[0] = 1e9
    basis = torch.linalg.qr(torch.randn(400, 400, dtype=torch.float64, generator=generator))[0]
    matrix = basis * eigenvalues @ basis.T
    density = lanczos_density(((matrix + matrix.T) / 2).to(dtype), max_products=200)
    assert density.rounding() == pytest.approx(1e9 * torch.finfo(dtype).eps, rel=1e-6)
    hint = "WIDE INTERVALS: rounding moves eigenvalues by about 1e+02; take the matrix, or the model, in float64."
    assert (hint in str(density)) == (dtype == torch.float32)
    assert "take more products" not in str(density)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_eigenvectors_of_eigenvalues_found_take_no_product(dtype, tmp_path):
    operator, plain = diagonal(NETWORK, dtype), lanczos_density(diagonal(NETWORK, dtype))
    density = lanczos_density(operator, eigenvectors=True)
    pairs = density.eigenpairs
    assert density.num_products == pairs.num_products == plain.num_products
    np.testing.assert_array_equal(pairs.values, density.eigenvalues_found)
    np.testing.assert_array_equal(density.nodes(), plain.nodes())
    with pytest.raises(ValueError, match=r"asked for: lanczos_density\(H, eigenvectors=True\) keeps them"):
        plain.eigenpairs  # noqa: B018
    rounding = 100 * torch.finfo(dtype).eps * 20
    for index in np.flatnonzero(pairs.values > 1):
        exact = int(np.argmin(np.abs(NETWORK - pairs.values[index])))
        sine = np.linalg.norm(np.delete(pairs.vector(index).astype(np.float64), exact))
        assert sine <= np.sin(pairs.angles[index]) + rounding
    assert (pairs.errors >= np.abs(NETWORK[:, None] - pairs.values).min(axis=0)).all()
    density.save(tmp_path / "density.npz")
    loaded = LanczosDensity.load(tmp_path / "density.npz").eigenpairs
    np.testing.assert_array_equal(loaded.vectors, pairs.vectors)
    assert loaded.vectors.dtype == pairs.vectors.dtype


def test_eigenvectors_where_none_is_found_and_with_low_memory():
    matrix = rotated(np.linspace(-1, 2, 60), RNG)
    assert lanczos_density(matrix, num_probes=3, num_steps=5, eigenvectors=True).eigenpairs.vectors.shape == (0, 60)
    with pytest.raises(ValueError, match="eigenvectors need the whole basis; got low_memory=True too"):
        lanczos_density(matrix, low_memory=True, eigenvectors=True)
