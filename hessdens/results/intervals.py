"""Confidence intervals for means of skewed samples."""

import numpy as np
from scipy.special import chdtri, ndtr, ndtri, stdtrit

from hessdens._checks import check_level
from hessdens._types import FloatArray

# Below this skewness a gamma distribution is a normal one to within rounding of its quantiles.
LEAST_SKEWNESS = 1e-4
# In standard deviations from the median: closer, ratios of quantiles lose their digits.
NEAR_MEDIAN = 1e-3


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
    mean a + gν would be a + (T - a) ν/q, with q the quantile of X at 1 - p: that is T + s sqrt(ν/2) (ν/q - 1), which
    tends to the normal one for large ν. For few probes it is widened by the ratio of Student's quantile to the normal
    one.
    """
    skewness = _skewness_of_mean(samples)
    freedom = 8 / np.maximum(np.abs(skewness), LEAST_SKEWNESS) ** 2
    # For negative skewness the mirror image.
    p = np.where(skewness >= 0, probabilities, 1 - probabilities)
    shift = np.sqrt(freedom / 2) * (freedom / chdtri(freedom, p) - 1)
    normal = ndtri(probabilities)
    # The ratio tends to a number at probability 1/2, where both quantiles are 0.
    safe = np.where(np.abs(normal) < NEAR_MEDIAN, NEAR_MEDIAN, normal)
    widening = stdtrit(len(samples) - 1, ndtr(safe)) / safe
    return values + widening * np.where(skewness >= 0, shift, -shift) * standard_errors


def _skewness_of_mean(samples: FloatArray) -> FloatArray:
    """Return the skewness of the mean, at most that of a single squared normal variable; 0 where it is unknown."""
    num_samples = len(samples)
    if num_samples < 3:
        return np.zeros(samples.shape[1])
    centred = samples - samples.mean(axis=0)
    scale = np.abs(centred).max(axis=0)
    centred = centred / np.where(scale > 0, scale, 1.0)
    variance = np.where(scale > 0, np.mean(centred**2, axis=0), 1.0)
    factor = np.sqrt(num_samples * (num_samples - 1)) / (num_samples - 2)
    skewness = factor * np.mean(centred**3, axis=0) / variance**1.5
    limit = np.sqrt(8 / num_samples)
    return np.clip(skewness / np.sqrt(num_samples), -limit, limit)
