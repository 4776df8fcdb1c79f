"""The trace of a matrix from orthonormal probes that change places: each is one of what is known without it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hessdens._types import FloatArray

ComplexArray = NDArray[np.complex128]
# Shifts for each factor of ten: twice as many gain nothing.
SHIFTS_PER_DECADE = 2
# Fewer probes say too little of which shift is good.
FEWEST_EXCHANGED = 10
# Degrees of freedom that a choice by samples takes from them.
CHOICE = 3.0
# Squared distances from the mean of plain samples are far beyond so many variances of it.
FAR = 4.0
TINY = float(np.finfo(np.float64).tiny)


def plain_samples(forms: FloatArray, size: int) -> FloatArray:
    """Return estimates of traces, shape (P, K), from quadratic forms of P orthonormal probes of R^size.

    Their mean is the plain estimate. Their spread about it is reduced, so that standard errors are those of orthogonal
    probes: exact, without a part, where P = size.
    """
    means = forms.mean(axis=0)
    return size * (means + np.sqrt(1 - len(forms) / size) * (forms - means))


def exchanged_samples(forms: FloatArray, squares: FloatArray, size: int, accuracy: float) -> FloatArray:
    r"""Return P unbiased estimates of tr B from P orthonormal probes U of R^size and their products, shape (P,).

    Probe u alone estimates the trace of what an approximation of B that is made of all other probes leaves; each is u
    in turn. The mean is the estimate, and std / sqrt(P) its standard error.

    Parameters
    ----------
    forms
        U^T B U, shape (P, P), in units in which B has a norm of about 1.
    squares
        (B U)^T B U, shape (P, P).
    size
        Dimensions of the space in which the directions of probes are uniform.
    accuracy
        Relative errors of products: shifts are no smaller.

    Notes
    -----
    With W the other probes the approximation is the real part of (B + z) W (W^T (B + z) W)^{-1} W^T (B + z) - z for an
    imaginary shift z. Without a shift this is that of Nyström, exact for as many eigenvalues as there are probes. A
    large one leaves W^T B W alone, as plain orthogonal probes do. An imaginary one has no poles, so B need not be
    semidefinite. Whatever the shift, a sample is unbiased if it does not depend on u. So it is chosen for each u from
    the others, which serve as samples of one another: the least variance, times how far their mean is from that of
    plain samples, if that is far.

    A sample consists of parts in which m probes interact, with variances w_m, say. The spread of samples shows the sum
    of w_m / P, and that of estimates without one probe each (the jackknife) that of m² w_m / P. The variance of the
    mean is that of m w_m / P at most, which is at most the geometric mean of both (Cauchy and Schwarz).

    Cost: O(P³) operations for each of some thirty shifts. Source: E. Epperly, J. Tropp & R. Webber, XTrace: making the
    most of every sample in stochastic trace estimation (2024), section 2.3 (XNysTrace: z = 0); B. Efron & C. Stein, The
    jackknife estimate of variance (1981).
    """
    count = len(forms)
    if count < FEWEST_EXCHANGED:
        return plain_samples(np.diag(forms)[:, None], size)[:, 0]
    others = ~np.eye(count, dtype=bool)
    plain = _plain(forms, size)
    plain_mean, plain_squares = _mean_and_squares(plain[1], others)
    plain_variance = np.maximum(plain_squares / ((count - 1) * (count - 2)), TINY)
    values, scores, means = [plain[0]], [(1 - CHOICE / count) * plain_squares], [plain_mean]
    for sample, without in _shifted(forms, squares, size, accuracy):
        mean, deviations = _mean_and_squares(without, others)
        values.append(sample)
        means.append(mean)
        scores.append(deviations * np.maximum(1.0, (mean - plain_mean) ** 2 / (FAR * plain_variance)))
    choice = np.argmin(scores, axis=0)
    samples = np.array(values)[choice, np.arange(count)]
    spread = samples.std(ddof=1)
    jackknife = (count - 1) * means[np.bincount(choice).argmax()].std(ddof=1)
    factor = np.sqrt(jackknife / spread) if spread > 0 else 0.0
    return samples.mean() + factor * (samples - samples.mean())


def _mean_and_squares(without: FloatArray, others: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Return for each row mean and sum of squared deviations of its entries off the diagonal."""
    mean = np.sum(without, axis=1, where=others) / (len(without) - 1)
    return mean, np.sum((without - mean[:, None]) ** 2, axis=1, where=others)


def _plain(forms: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Return the sample of each probe i, shape (P,), and that of each j where i is left out, [i, j], without a shift.

    The trace in the span of the others, and a Rayleigh quotient for each dimension outside it.
    """
    own, total, outside = np.diag(forms), np.trace(forms), size - len(forms)
    return total + outside * own, total - own[:, None] + (outside + 1) * own


def _shifted(
    forms: FloatArray, squares: FloatArray, size: int, accuracy: float
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield the same as `_plain` for shifts from 1 down to ``accuracy``, from one decomposition.

    Leaving a probe out changes inverses by a matrix of rank one.
    """
    nodes, vectors = np.linalg.eigh(forms)
    inner = vectors.T @ squares @ vectors
    outside = size - len(forms)
    for shift in 1j * np.geomspace(1.0, accuracy, 1 + round(SHIFTS_PER_DECADE * -np.log10(accuracy))):
        weights = 1 / (nodes + shift)
        added = shift * (2 * nodes + shift)
        inverse = _rotated(vectors, np.diag(weights))
        middle = _rotated(vectors, (inner + np.diag(added)) * np.outer(weights, weights))
        own, length = np.diag(inverse), np.diag(middle)
        rest = np.sum(weights * (np.diag(inner) + added)) - length / own
        left = own - inverse**2 / own[:, None]
        np.fill_diagonal(left, 1.0)
        lengths = length - 2 * middle * inverse / own[:, None] + length[:, None] * inverse**2 / own[:, None] ** 2
        without = rest[:, None] + (outside + 2 - lengths) / left
        yield (rest + (outside + 1) / own).real, without.real


def _rotated(vectors: FloatArray, matrix: ComplexArray) -> ComplexArray:
    """Return V M V^T for real V and complex M."""
    return vectors @ matrix.real @ vectors.T + 1j * (vectors @ matrix.imag @ vectors.T)
