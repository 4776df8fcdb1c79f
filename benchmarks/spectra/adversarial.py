"""Spectra that estimators or intervals have failed on, or may: atoms, edges of windows, wide ranges, low ranks."""

import numpy as np
from scipy.special import ndtri

from spectra.closed_forms import Maker, shares


def bulk(n: int, scale: float = 1e-3) -> np.ndarray:
    return scale * ndtri(shares(n))


def symmetric_log_uniform(n: int) -> np.ndarray:
    half = np.geomspace(1e-5, 5, n // 2)
    return np.r_[-half, half]


SPECTRA: dict[str, Maker] = {
    "zeros and power law": lambda: np.r_[np.zeros(2375), 10 / np.arange(1, 126)],
    "bulk and shoulder": lambda: np.r_[bulk(2150), np.linspace(0.01, 0.3, 240), np.geomspace(1, 30, 10)],
    "bulk and exponential shoulder": lambda: np.r_[bulk(1790), -0.05 * np.log(shares(600)), np.geomspace(1, 30, 10)],
    "symmetric log-uniform": lambda: symmetric_log_uniform(2000),
    "log-uniform": lambda: np.geomspace(1e-12, 1e2, 2400),
    "all equal": lambda: np.full(1000, 0.05),
    "two points": lambda: np.r_[np.ones(700), -np.ones(300)],
    "rank 3": lambda: np.r_[np.zeros(9997), 5.0, 1.0, -0.3],
    "zeros inside a band": lambda: np.r_[np.zeros(1000), np.linspace(-0.5, 1, 1000)],
    "20 eigenvalues": lambda: np.r_[np.linspace(-0.3, 0.3, 16), 1.0, 2.0, 3.0, 5.0],
    "atoms at ends of windows": lambda: np.repeat([-0.1, -1e-3, 1e-3, 0.1, 3.0], [100, 200, 590, 100, 10]),
    "highly degenerate": lambda: np.r_[np.zeros(1980), np.linspace(0.5, 5, 20)],
    "on both sides of the window's ends": lambda: np.r_[
        np.linspace(0.098, 0.102, 700), -np.linspace(0.098, 0.102, 300), bulk(1000, 0.02)
    ],
    "one huge eigenvalue": lambda: np.r_[bulk(1999, 0.1), 1e6],
    "one negative eigenvalue": lambda: np.r_[np.linspace(0.01, 2, 1999), -0.5],
    "close pairs": lambda: np.r_[bulk(1900, 0.02), np.linspace(1, 20, 50), np.linspace(1, 20, 50) + 1e-6],
    "two bands": lambda: np.r_[bulk(1500, 0.01), np.linspace(5, 5.5, 300), -np.linspace(2, 2.01, 200)],
    "negative definite": lambda: 0.1 * np.log(shares(2000)) - 0.02,
    "ladder": lambda: np.repeat(10 * 2.0 ** -np.arange(20), 100),
}
