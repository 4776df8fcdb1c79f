"""Probes that change places: against dense approximations probe by probe, unbiased, with honest errors."""

import numpy as np
import pytest
from naive import exchanged_traces

from hessdens.results.exchange import exchanged_samples, plain_samples

RNG = np.random.default_rng(0)
EPS = float(np.finfo(np.float64).eps)
SPECTRA = {
    "power law": 1 / np.arange(1, 81.0),
    "semicircle": np.cos(np.pi * (np.arange(80) + 0.5) / 80) * np.sqrt(RNG.random(80)),
    "low rank, indefinite": np.concatenate([np.zeros(70), np.linspace(-1, 1, 10)]),
    "all equal": np.full(80, 0.3),
}


def probes_of(size, count, rng):
    return np.linalg.qr(rng.standard_normal((size, count))).Q


def samples_of(eigenvalues, count, rng, accuracy=EPS):
    probes = probes_of(len(eigenvalues), count, rng)
    products = eigenvalues[:, None] * probes
    return exchanged_samples(probes.T @ products, products.T @ products, len(eigenvalues), accuracy)


@pytest.mark.parametrize(("name", "count"), [("power law", 12), ("semicircle", 12), ("low rank, indefinite", 11)])
def test_samples_are_those_of_dense_approximations_with_the_shift_that_the_others_choose(name, count):
    """The choice and the jackknife, in a loop over all that is left out."""
    eigenvalues = SPECTRA[name]
    probes = probes_of(80, count, np.random.default_rng(3))
    shifts = [None, *(1j * np.geomspace(1, 1e-4, 9))]
    samples, jackknives, chosen = [], [], []
    for i in range(count):
        others = np.delete(probes, i, axis=1)
        without = np.array([exchanged_traces(np.diag(eigenvalues), others, shift) for shift in shifts])
        means, variances = without.mean(axis=1), without.var(axis=1, ddof=1)
        scores = variances * np.maximum(1, (means - means[0]) ** 2 / (4 * variances[0] / (count - 1)))
        scores[0] = (1 - 3 / count) * variances[0]
        chosen.append(np.argmin(scores))
        samples.append(exchanged_traces(np.diag(eigenvalues), probes, shifts[chosen[-1]])[i])
        jackknives.append(means)
    spread = np.std(samples, ddof=1)
    jackknife = (count - 1) * np.std(np.array(jackknives)[:, np.bincount(chosen).argmax()], ddof=1)
    assert len(set(chosen)) > (name == "semicircle")
    expected = np.mean(samples) + np.sqrt(jackknife / spread) * (np.array(samples) - np.mean(samples))
    found = samples_of(eigenvalues, count, np.random.default_rng(3), 1e-4)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("count", [2, 10, 20])
def test_mean_and_standard_error_over_400_draws(name, count):
    """The mean is within 4 of its standard errors, and reported variances are those of the mean, or up to twice that.

    Beside an outlier that probes hardly see they are too small by up to a third: a Krylov basis takes such outliers.
    """
    rng = np.random.default_rng(count)
    runs = np.array([samples_of(SPECTRA[name], count, rng) for _ in range(400)])
    values, variances = runs.mean(axis=1), runs.var(axis=1, ddof=1) / count
    allowed = 4 * values.std(ddof=1) / 20 + 1e-12
    assert abs(values.mean() - SPECTRA[name].sum()) < allowed
    if values.std() > 1e-6:
        assert 0.65 < variances.mean() / values.var(ddof=1) < 2.5


def test_low_rank_is_known_exactly_whatever_its_signs():
    """By more probes than the rank; plain ones would be wrong by a quarter."""
    samples = samples_of(SPECTRA["low rank, indefinite"] + SPECTRA["low rank, indefinite"] ** 2, 12, RNG)
    expected = np.sum(np.linspace(-1, 1, 10) ** 2)
    np.testing.assert_allclose(samples.mean(), expected, rtol=1e-6)
    assert samples.std() < 1e-5


def test_gain_over_plain_probes():
    """Root-mean-square errors of 100 draws: three times smaller for a power law, no larger where nothing is gained."""
    for name, least, most in (("power law", 0.2, 0.5), ("semicircle", 0.9, 1.1)):
        eigenvalues, errors = SPECTRA[name], []
        rng = np.random.default_rng(5)
        for _ in range(100):
            probes = probes_of(80, 20, rng)
            products = eigenvalues[:, None] * probes
            forms = probes.T @ products
            found = exchanged_samples(forms, products.T @ products, 80, EPS).mean(), 4 * np.trace(forms)
            errors.append(np.array(found) - eigenvalues.sum())
        exchanged, plain = np.sqrt(np.mean(np.square(errors), axis=0))
        assert least < exchanged / plain < most


@pytest.mark.parametrize("count", [2, 9])
def test_few_probes_are_plain_ones(count):
    probes = probes_of(30, count, RNG)
    eigenvalues = RNG.standard_normal(30)
    products = eigenvalues[:, None] * probes
    found = exchanged_samples(probes.T @ products, products.T @ products, 30, EPS)
    np.testing.assert_allclose(found, plain_samples((eigenvalues @ probes**2)[:, None], 30)[:, 0])


def test_plain_samples_have_the_standard_error_of_orthogonal_probes():
    forms = RNG.standard_normal((40, 2)) ** 2
    samples = plain_samples(forms, 50)
    np.testing.assert_allclose(samples.mean(axis=0), 50 * forms.mean(axis=0))
    np.testing.assert_allclose(samples.std(axis=0), 50 * np.sqrt(1 - 40 / 50) * forms.std(axis=0))
    np.testing.assert_allclose(plain_samples(forms, 40), np.tile(forms.sum(axis=0), (40, 1)))
