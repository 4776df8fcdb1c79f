"""Spectra in closed form: quantiles of distributions, graphs, products; up to a million eigenvalues."""

from collections.abc import Callable
from math import comb

import numpy as np
from scipy.special import ndtri
from scipy.stats import skewnorm

Maker = Callable[[], np.ndarray]


def shares(n: int) -> np.ndarray:
    """Return the middles of n equal parts of the unit interval."""
    return (np.arange(n) + 0.5) / n


def quantiles(n: int, x: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Return n quantiles of a density that is given on an even grid."""
    masses = np.cumsum(density)
    return np.interp(shares(n), masses / masses[-1], x)


def semicircle(n: int, radius: float = 1.0) -> np.ndarray:
    x = np.linspace(-1, 1, 200_001)
    return radius * quantiles(n, x, np.sqrt(1 - x * x))


def marchenko_pastur(n: int, ratio: float, variance: float) -> np.ndarray:
    """Return n quantiles of the law of N / samples = ratio <= 1, whose mean is the variance."""
    low, high = variance * (1 - ratio**0.5) ** 2, variance * (1 + ratio**0.5) ** 2
    x = np.linspace(low, high, 400_001)[1:-1]
    return quantiles(n, x, np.sqrt((high - x) * (x - low)) / x)


def path(n: int) -> np.ndarray:
    """Return the eigenvalues of the Laplacian of a path."""
    return 2 - 2 * np.cos(np.pi * np.arange(n) / n)


def hypercube(dimension: int) -> np.ndarray:
    """Return the eigenvalues of the adjacency matrix of a hypercube, divided by its degree."""
    levels = np.arange(dimension + 1)
    return np.repeat(1 - 2 * levels / dimension, [comb(dimension, int(k)) for k in levels])


def skew_normal_mixture(n: int) -> np.ndarray:
    """Return quantiles of the two parts of a mixture as the paper fits it: narrow and degenerate, wide and skewed."""
    wide = n // 10
    return np.concatenate([0.01 * ndtri(shares(n - wide)), skewnorm(6, -0.2, 1.0).ppf(shares(wide))])


SPECTRA: dict[str, Maker] = {
    "semicircle": lambda: semicircle(2000),
    "semicircle and outliers": lambda: np.r_[semicircle(2000), np.linspace(3, 30, 10)],
    "semicircle and outliers, 100,000": lambda: np.r_[semicircle(99_970), np.geomspace(2, 50, 30)],
    "lower Marchenko-Pastur edge": lambda: marchenko_pastur(2400, 0.25, 0.4),
    "square Wishart and spikes": lambda: np.r_[marchenko_pastur(500, 1.0, 1.0), np.geomspace(10, 100, 5)],
    "Wishart of few samples": lambda: np.r_[np.zeros(2000), marchenko_pastur(1000, 1 / 3, 1.0), [8.0, 20.0, 50.0]],
    "arcsine": lambda: np.cos(np.pi * shares(3000)),
    "normal": lambda: 0.1 * ndtri(shares(10_000)),
    "exponential": lambda: -0.1 * np.log(shares(5000)),
    "uniform, 100,000": lambda: np.linspace(-0.2, 1, 100_000),
    "power law 1": lambda: 1 / np.arange(1, 2001),
    "power law 2, 100,000": lambda: 100 / np.arange(1, 100_001) ** 2.0,
    "power law 1/2, 100,000": lambda: 10 / np.arange(1, 100_001) ** 0.5,
    "Laplacian of a path, a million": lambda: path(1_000_000),
    "Laplacian of a square grid": lambda: np.add.outer(path(250), path(250)).ravel(),
    "hypercube": lambda: hypercube(14),
    "Kronecker product": lambda: np.multiply.outer(marchenko_pastur(60, 0.5, 1.0), 5 / np.arange(1, 51)).ravel(),
    "skew-normal mixture": lambda: skew_normal_mixture(10_000),
}
