"""Changes between densities: errors that hold against exact eigenvalues, over many seeds."""

import numpy as np
import pytest

from hessdens import Spectrum, lanczos_density
from hessdens.densities import DensityDifference
from hessdens.densities.jackknife import SUBSPACE

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
    assert np.median(gains, axis=0).min() > 0.9


def test_error_of_a_moment_is_that_of_paired_samples():
    first, second = densities(0)
    found = first.difference(second)
    samples = second.moment_samples(4) - first.moment_samples(4)
    np.testing.assert_allclose(found.values[:4], samples.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.noise[:4], SUBSPACE * samples.std(axis=0, ddof=1) / 2, rtol=1e-6)
    np.testing.assert_array_equal(found.resolution[:4], 0)
    single = [density.moment_samples(4).std(axis=0, ddof=1) for density in (first, second)]
    np.testing.assert_allclose(found.unpaired_errors[:4], SUBSPACE * np.hypot(*single) / 2, rtol=1e-6)


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


def test_printed():
    found = changed(0, title="from step 0 to step 10")
    lines = str(found).splitlines()
    assert lines[0] == "Change from step 0 to step 10 (the same 4 probes)"
    assert [line.split()[0] for line in lines[1:]] == list(found.names)
    assert f"{found.values[0]:+.3e} ± {found.standard_errors[0]:.1e}" in lines[1]
    assert f"{found.gain[0]:.3g} times as much" in lines[1]


def test_bad_input():
    first, second = densities(0)
    with pytest.raises(ValueError, match=r"same eigenvalues and probes in number; got 150 and 2 eigenvalues, 4 and 2"):
        first.difference(lanczos_density(np.diag([1.0, 2.0]), num_probes=2, num_steps=2))
    with pytest.raises(ValueError, match="window must be finite"):
        first.difference(second, window=-1)
    with pytest.raises(ValueError, match="level must lie"):
        first.difference(second).interval(1.0)
    assert isinstance(first.difference(second), DensityDifference)
