"""Changes between densities: errors that hold against exact eigenvalues, over many seeds."""

from dataclasses import replace

import numpy as np
import pytest

from hessdens import Spectrum, lanczos_density
from hessdens._checks import PAPER_WINDOW
from hessdens.densities import DensityDifference
from hessdens.densities.difference import SUBSPACE, NumbersOfProbes, common_window, difference_of, without_one

RNG = np.random.default_rng(0)
SIZE = 150
VECTORS = np.linalg.qr(RNG.standard_normal((SIZE, SIZE)))[0]
EIGENVALUES = np.concatenate([0.06 * RNG.standard_normal(SIZE - 6), [-1.0, 0.8, 1.5, 3.0, 6.0, 11.0]])
FIRST = (VECTORS * EIGENVALUES) @ VECTORS.T
# As training does in some steps: all eigenvalues a little larger, the eigenvectors a little turned.
TURN = np.linalg.qr(np.eye(SIZE) + 0.004 * RNG.standard_normal((SIZE, SIZE)))[0]
SECOND = TURN @ (VECTORS * (1.1 * EIGENVALUES)) @ VECTORS.T @ TURN.T


def exact(matrix, window=0.2):
    spectrum = Spectrum(np.linalg.eigvalsh(matrix))
    return np.array([*spectrum.moments(4), spectrum.fraction_degenerate(window), spectrum.fraction_negative(window)])


def densities(seed, **sizes):
    return [lanczos_density(matrix, seed=seed, **(sizes or {"max_products": 50})) for matrix in (FIRST, SECOND)]


def changed(seed, **options):
    before, after = densities(seed)
    return before.difference(after, **options)


def test_errors_hold_against_exact_eigenvalues_and_are_far_smaller_than_unpaired_ones():
    change, rounding = exact(SECOND) - exact(FIRST), 1e-9 * np.abs(exact(SECOND))
    covered, gains, misses, errors = [], [], [], []
    for seed in range(40):
        found = changed(seed)
        low, high = found.interval()
        covered.append((low - rounding <= change) & (change <= high + rounding))
        misses.append(found.values - change)
        errors.append(np.hypot(found.standard_errors, rounding))
        gains.append(found.gain)
    assert np.mean(covered, axis=0).min() >= 0.9
    assert np.all(np.mean(np.square(misses), axis=0) < 1.3**2 * np.mean(np.square(errors), axis=0))
    assert np.median(gains, axis=0)[0] > 4
    assert np.median(gains, axis=0).min() > 0.6  # of fractions, of which one eigenvalue of 150 is much


def test_error_of_a_moment_is_that_of_paired_samples():
    first, second = densities(0)
    found = first.difference(second)
    samples = second.moment_samples(4) - first.moment_samples(4)
    np.testing.assert_allclose(found.values[:4], samples.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.noise[:4], SUBSPACE * samples.std(axis=0, ddof=1) / 2, rtol=1e-6)
    errors = [density.quadrature.moment_errors(4) for density in (first, second)]
    np.testing.assert_allclose(found.resolution[:4], np.abs(errors[1] - errors[0]).max(axis=0), rtol=1e-6)
    errors = [each.max(axis=0) for each in errors]
    single = [density.moment_samples(4).std(axis=0, ddof=1) for density in (first, second)]
    unpaired = np.sqrt((SUBSPACE * np.hypot(*single) / 2) ** 2 + errors[0] ** 2 + errors[1] ** 2)
    np.testing.assert_allclose(found.unpaired_errors[:4], unpaired, rtol=1e-6)


SAMPLES = RNG.standard_normal((7, 6))


def numbers(samples, low=0.0, high=0.0):
    values = samples.mean(axis=0)
    return NumbersOfProbes(values, without_one(samples), values + np.array([[low], [high]]), 100)


def test_noise_of_a_mean_is_its_standard_error():
    np.testing.assert_allclose(without_one(SAMPLES)[2], np.delete(SAMPLES, 2, axis=0).mean(axis=0))
    expected = SUBSPACE * SAMPLES.std(axis=0, ddof=1) / np.sqrt(7)
    np.testing.assert_allclose(numbers(SAMPLES).noise(), expected)
    np.testing.assert_array_equal(numbers(SAMPLES).resolution(), 0)


def test_what_is_open_in_both_cancels_the_more_the_less_it_is():
    before, after = numbers(SAMPLES, -0.1, 0.2), numbers(SAMPLES + 0.01, -0.1, 0.1)
    change = difference_of(before, after, "")
    np.testing.assert_allclose(change.values, 0.01)
    np.testing.assert_allclose(change.noise, 0, atol=1e-15)
    np.testing.assert_allclose(change.resolution[:4], 0.1)  # by which the upper ends differ
    np.testing.assert_allclose(change.resolution[4:], 0.1 + 0.36 * 0.25 + 0.01)  # of fractions 0.3 is open, and 0.2
    wide = difference_of(numbers(SAMPLES, -0.4, 0.4), numbers(SAMPLES, -0.4, 0.4), "")
    np.testing.assert_allclose(wide.resolution[4:], 0.8 + 0.01)
    narrow = difference_of(numbers(SAMPLES, 0, 0.001), numbers(SAMPLES, 0, 0.002), "")
    np.testing.assert_allclose(narrow.resolution[4:], 0.001 + 4e-6 * 2**2 * 0.0015 / 4 + 0.003, rtol=1e-2)
    np.testing.assert_allclose(change.interval(0.9)[1], 0.01 + change.resolution)


def test_no_change_has_no_noise():
    density = densities(1)[0]
    found = density.difference(density)
    np.testing.assert_array_equal(found.values, 0)
    np.testing.assert_array_equal(found.noise, 0)


def test_fractions_are_those_of_the_densities():
    first, second = densities(2)
    found = first.difference(second, window=0.1)
    expected = (
        [d.fraction_degenerate(0.1) for d in (first, second)],
        [d.fraction_negative(0.1) for d in (first, second)],
    )
    np.testing.assert_allclose(found.values[4:], [after - before for before, after in expected], atol=1e-15)


def test_nothing_can_be_changed_and_files_hold_all(tmp_path):
    change = changed(0)
    with pytest.raises(ValueError, match="read-only"):
        change.values[0] = 0.0
    change.save(tmp_path / "d.npz")
    loaded = DensityDifference.load(tmp_path / "d.npz")
    assert str(loaded) == str(change)
    numbers = loaded.numbers(level=0.9)
    assert numbers == change.numbers(level=0.9)
    low, high = change.interval(0.9)[:, 1]
    assert (numbers["changes"]["m_2"]["low"], numbers["changes"]["m_2"]["high"]) == (low, high)


def test_windows_are_named_and_those_that_differ_are_warned_of():
    """Else two densities of "1%" each are compared in the window of the first, without a word."""
    first, second = densities(3)
    small, large = replace(first, window=0.02), replace(second, window=0.7)
    words = "different sizes, 0.02 and 0.7; all fractions are in one of 0.02. Write window=0.7"
    with pytest.warns(UserWarning, match=words) as caught:
        found = small.difference(large)
    assert caught[0].filename == __file__
    assert found.window == 0.02
    assert str(found).splitlines()[-1] == "  window: 0.02 for both, that is |λ| < 0.01"
    assert found.numbers()["window"] == 0.02
    assert small.difference(replace(second, window=0.02)).window == small.difference(large, window=0.02).window == 0.02
    assert small.difference(large, window="10%").window == pytest.approx(0.1 * np.abs(first.nodes()).max())


def test_the_window_of_several_is_of_the_first_that_has_one():
    exact = Spectrum([0.0, 1.0])
    density = replace(densities(3)[0], window=0.02)
    assert common_window([exact, density]) == common_window([density, exact]) == 0.02
    assert common_window([exact, exact]) == PAPER_WINDOW


def test_printed():
    found = changed(0, title="from step 0 to step 10")
    lines = str(found).splitlines()
    assert lines[0] == "Change from step 0 to step 10 ± standard errors (the same 4 probes)"
    assert [line.split()[0] for line in lines[1:]] == [*found.names, "window:"]
    assert f"{found.values[0]:+.3e} ± {found.standard_errors[0]:.1e}" in lines[1]
    assert f"(independent probes: ± {found.unpaired_errors[0]:.1e})" in lines[1]


def test_bad_input():
    first, second = densities(0)
    with pytest.raises(ValueError, match=r"same eigenvalues and probes in number; got 150 and 2 eigenvalues, 4 and 2"):
        first.difference(lanczos_density(np.diag([1.0, 2.0]), num_probes=2, num_steps=2))
    with pytest.raises(ValueError, match="window must be finite"):
        first.difference(second, window=-1)
    with pytest.raises(ValueError, match="level must lie"):
        first.difference(second).interval(1.0)
    assert isinstance(first.difference(second), DensityDifference)
