"""Confidence intervals for means of quadratic forms in random vectors, and for numbers of eigenvalues."""

import numpy as np
from scipy.special import betainc, chdtri, ndtr, ndtri, stdtrit

from hessdens._checks import check_level
from hessdens._types import FloatArray

# Below this skewness a gamma distribution is a normal one to within rounding of its quantiles.
LEAST_SKEWNESS = 1e-4
# In standard deviations from the median: closer, ratios of quantiles lose their digits.
NEAR_MEDIAN = 1e-3
# Halvings of the range of a number of eigenvalues.
HALVINGS = 60


def skewed_interval(values: FloatArray, standard_errors: FloatArray, samples: FloatArray, level: float) -> FloatArray:
    """Return confidence intervals for the means of samples that are quadratic forms in random vectors, shape (2, K).

    ``samples`` has shape (P, K), P >= 2: their skewness shapes the interval. The ends, lower and upper, are the
    `skewed_quantiles` at (1 - level) / 2 and (1 + level) / 2.
    """
    check_level(level)
    tail = (1 - level) / 2
    return skewed_quantiles(values, standard_errors, samples, np.array([[tail], [1 - tail]]))


def skewed_quantiles(
    values: FloatArray, standard_errors: FloatArray, samples: FloatArray, probabilities: FloatArray
) -> FloatArray:
    """Return upper limits of the means of quadratic forms, with given confidence.

    ``probabilities`` has shape (n, K) or (n, 1), entries in (0, 1); the result has shape (n, K). Other arguments are
    those of `skewed_interval`.

    Notes
    -----
    A mean T that is distributed as a + g X, X a chi-squared variable with ν degrees of freedom, has skewness sqrt(8/ν)
    and standard deviation s = g sqrt(2ν). Were the shift a known and s proportional to T - a, the upper limit of the
    mean a + gν would be a + (T - a) ν/q, with q the quantile of X at 1 - p. That is T + s sqrt(ν/2) (ν/q - 1), which
    tends to the normal one for large ν. For few probes it is widened by the ratio of Student's quantile to the normal
    one.
    """
    freedom = np.float64(len(samples) - 1)
    return shifted_quantiles(values, standard_errors, _skewness_of_mean(samples), freedom, probabilities)


def shifted_quantiles(
    values: FloatArray,
    standard_errors: FloatArray,
    skewness: FloatArray,
    freedom: FloatArray | np.float64,
    probabilities: FloatArray,
) -> FloatArray:
    """Return what `skewed_quantiles` does, of estimates of a given skewness, shape (K,).

    ``freedom`` is the number of degrees of freedom of the standard errors, one for all or shape (K,).
    """
    forms = 8 / np.maximum(np.abs(skewness), LEAST_SKEWNESS) ** 2
    # For negative skewness the mirror image.
    p = np.where(skewness >= 0, probabilities, 1 - probabilities)
    shift = np.sqrt(forms / 2) * (forms / chdtri(forms, p) - 1)
    normal = ndtri(probabilities)
    # The ratio tends to a number at probability 1/2, where both quantiles are 0.
    safe = np.where(np.abs(normal) < NEAR_MEDIAN, NEAR_MEDIAN, normal)
    widening = stdtrit(freedom, ndtr(safe)) / safe
    return values + widening * np.where(skewness >= 0, shift, -shift) * standard_errors


def cumulants_of_mean(standard_errors: FloatArray, samples: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return variance and third cumulant of a mean of samples, shape (P, K), and the variance's own squared error.

    The latter is up to a factor of 2, as the formula of Welch and Satterthwaite has it. All have shape (K,), and those
    of independent means add up.
    """
    variance = standard_errors**2
    return variance, _skewness_of_mean(samples) * standard_errors**3, variance**2 / (len(samples) - 1)


def _skewness_of_mean(samples: FloatArray) -> FloatArray:
    """Return the skewness of the mean, at most that of a single squared normal variable.

    That of samples of one sign is at least that of a chi-squared variable with their mean and standard deviation, which
    has the least of all sums of squares with these (Cauchy and Schwarz). Of few samples it is underestimated else.
    """
    num_samples, limit = len(samples), np.sqrt(8 / len(samples))
    scale = np.abs(samples).max(axis=0)
    samples = samples / np.where(scale > 0, scale, 1.0)
    mean = samples.mean(axis=0)
    variance = np.mean((samples - mean) ** 2, axis=0)
    skewness = np.zeros(samples.shape[1])
    if num_samples > 2:
        factor = np.sqrt(num_samples - 1) / (num_samples - 2)
        skewness = factor * np.mean((samples - mean) ** 3, axis=0) / np.where(variance > 0, variance, 1.0) ** 1.5
    sign = np.where((samples >= 0).all(axis=0), 1.0, np.where((samples <= 0).all(axis=0), -1.0, 0.0))
    errors = np.sqrt(variance / (num_samples - 1))
    least = 2 * errors / np.where(mean != 0, np.abs(mean), 1.0)
    skewness = np.where(sign == 0, skewness, sign * np.maximum(sign * skewness, least))
    return np.clip(skewness, -limit, limit)


def count_interval(shares: FloatArray, num_probes: int, size: int, level: float) -> FloatArray:
    """Return confidence intervals for numbers of eigenvalues from shares of the squares of probes, shape (2, n).

    ``shares`` has shape (2, n), in [0, 1]: in the eigenvectors that count, P Gaussian probes of R^size have at least
    and at most so much of all their squares together.

    Notes
    -----
    In n of N orthonormal vectors P probes have a share that is distributed as Beta(P n / 2, P (N - n) / 2). It grows
    with n. So the limits are the n for which it exceeds the lower share, or stays below the upper one, with probability
    (1 - level) / 2. This is exact for any number of probes (Clopper & Pearson 1934, of the binomial distribution).
    Limits less than one from 0 or N are 0 or N: numbers are whole, and tiny shares may be rounding.
    """
    check_level(level)
    tail = (1 - level) / 2
    fewest = _count_at(shares[0], 1 - tail, num_probes, size)
    most = _count_at(shares[1], tail, num_probes, size)
    limits = np.stack([fewest, most])
    return np.where(limits < 1, 0.0, np.where(limits > size - 1, float(size), limits))


def _count_at(share: FloatArray, probability: float, num_probes: int, size: int) -> FloatArray:
    """Return the number n of ``size`` eigenvectors in which probes have at most this share with this probability."""
    low, high = np.zeros(share.shape), np.full(share.shape, float(size))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        forms = num_probes * middle / 2, num_probes * (size - middle) / 2
        is_more = betainc(*forms, np.clip(share, 0.0, 1.0)) > probability
        low, high = np.where(is_more, middle, low), np.where(is_more, high, middle)
    return np.where(share <= 0, 0.0, np.where(share >= 1, float(size), (low + high) / 2))
