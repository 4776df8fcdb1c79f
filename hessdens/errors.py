"""Errors that a caller may want to tell from others."""


class NonFiniteError(ValueError):
    """A loss, gradient, product, moment or matrix entry is infinite or NaN, as after a divergence of training."""


class RankError(RuntimeError):
    """Processes that work on one operator are missing, contradict one another, or one of them has failed."""
