"""Errors that a caller may want to tell from others."""


class NonFiniteError(ValueError):
    """A loss, gradient, product, moment or matrix entry is infinite or NaN, as after a divergence of training.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdens import NonFiniteError, exact_spectrum
    >>> try:
    ...     exact_spectrum(np.array([[np.nan]]))
    ... except NonFiniteError as error:
    ...     print(error)
    An operator must have finite entries; its product with a random vector is not finite.
    """


class RankError(RuntimeError):
    """Processes that work on one operator are missing, contradict one another, or one of them has failed."""
