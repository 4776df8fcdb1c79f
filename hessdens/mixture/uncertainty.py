"""How certain a fitted mixture is: errors of its moments carried through the fit, and points that fit as well."""

from dataclasses import astuple, dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from hessdens._checks import LEVEL, PAPER_WINDOW, at_least, check_level, half_window
from hessdens._types import BoolArray, FloatArray, Window
from hessdens.densities.base import add_intervals
from hessdens.mixture.fit import AXIS_NAMES, POOR_OBJECTIVE, MixtureFit, fit_mixture, fit_mixtures
from hessdens.mixture.grid import Grid
from hessdens.mixture.model import SkewNormalMixture, mixture_cdf
from hessdens.results.intervals import skewed_quantiles
from hessdens.results.moments import Moments, least_hankel_eigenvalue
from hessdens.results.saved import Finite, Numbers, Saved
from hessdens.results.summaries.text import percent

# Points of a grid that are kept as near-ties.
MOST_TIES = 100_000
# Fewer draws than this share with a density behind them say that the moments contradict each other.
LEAST_FEASIBLE = 0.05
# Of the scaled Hankel matrix: moments of a few point masses have the eigenvalue 0, to this.
HANKEL_ROUNDING = 1e-9
# Probabilities nearer to 0 or 1 than this are not drawn.
LEAST_PROBABILITY = 1e-9


@dataclass(frozen=True, eq=False)
class Mixtures(Saved):
    """Mixtures with one narrow scale, and the range of what they answer."""

    parameters: Annotated[FloatArray, "n 4 finite"]  # weight, location, scale and shape of each
    narrow_scale: Finite  # σ of all

    def __post_init__(self) -> None:
        super().__post_init__()
        weights, scales = self.parameters[:, 0], np.append(self.parameters[:, 2], self.narrow_scale)
        if not (len(self) and np.all((weights >= 0) & (weights <= 1)) and np.all(scales > 0)):
            raise ValueError(
                "Mixtures must be at least one, with weights in [0, 1] and positive scales; got "
                f"{len(self)}, weights {weights}, scales {scales}."
            )

    def __len__(self) -> int:
        return len(self.parameters)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Return the mass of each at or below x, shape (n, *shape of x)."""
        points = np.asarray(x, dtype=np.float64)
        weight, location, scale, shape = self.parameters.T.reshape(4, -1, *[1] * points.ndim)
        return mixture_cdf(weight, location, scale, shape, self.narrow_scale, points)

    def fraction_degenerate(self, window: float = PAPER_WINDOW) -> FloatArray:
        """Return the mass of each inside the window, shape (n,), to within some 1e-16."""
        half = half_window(window)
        return self.cdf(half) - self.cdf(-half)

    def fraction_negative(self, window: float = PAPER_WINDOW) -> FloatArray:
        """Return the mass of each left of the window, shape (n,)."""
        return self.cdf(-half_window(window))


@dataclass(frozen=True, eq=False)
class FitUncertainty(Saved):
    """A fitted mixture with intervals: fits of moments drawn within their errors.

    Parameters
    ----------
    fit
        The fit of the moments themselves.
    draws
        Fits of moments that are as likely, given the errors.
    objectives
        Of ``draws``, shape (D,).
    on_edge
        Which of ``draws`` are on an edge of the grid, shape (D,).
    num_discarded
        Drawn moments that no density has, left out.
    ties
        Points of the grid, the best included, whose objective is within ``near`` of the best; up to 100,000.
    near
        A difference of objectives: a sum of relative errors of four moments.
    """

    fit: MixtureFit
    draws: Mixtures
    objectives: Annotated[FloatArray, "D amount"]
    on_edge: Annotated[BoolArray, "D flag"]
    num_discarded: int
    ties: Mixtures
    near: Annotated[float, "amount"]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not len(self.draws) == len(self.objectives) == len(self.on_edge):
            raise ValueError(
                "draws, objectives and on_edge must be as many; got "
                f"{len(self.draws)}, {len(self.objectives)} and {len(self.on_edge)}."
            )

    @property
    def mixture(self) -> SkewNormalMixture:
        """The mixture that was fitted to the moments themselves."""
        return self.fit.mixture

    @property
    def share_on_edge(self) -> float:
        """Share of draws whose fit is on an edge of the grid."""
        return float(self.on_edge.mean())

    @property
    def share_poor(self) -> float:
        """Share of draws whose fit is poor, with an objective above 0.2."""
        return float(np.mean(self.objectives > POOR_OBJECTIVE))

    def parameters_interval(self, level: float = LEVEL) -> FloatArray:
        """Return confidence intervals of weight, location, scale and shape, shape (2, 4)."""
        return _between_percentiles(self.draws.parameters, level)

    def degenerate_interval(self, window: float = PAPER_WINDOW, level: float = LEVEL) -> FloatArray:
        """Return a confidence interval of the degenerate fraction of the mixture, shape (2,)."""
        return _between_percentiles(self.draws.fraction_degenerate(window), level)

    def negative_interval(self, window: float = PAPER_WINDOW, level: float = LEVEL) -> FloatArray:
        """Return a confidence interval of the negative fraction of the mixture, shape (2,)."""
        return _between_percentiles(self.draws.fraction_negative(window), level)

    def cdf_interval(self, x: ArrayLike, level: float = LEVEL) -> FloatArray:
        """Return pointwise confidence intervals of the mixture's cdf, shape (2, ...) with the shape of ``x``."""
        return _between_percentiles(self.draws.cdf(x), level)

    def __str__(self) -> str:
        mixture, near_ties = self.mixture, self.ties
        fractions = [
            ("degenerate", mixture.fraction_degenerate(), self.degenerate_interval(), near_ties.fraction_degenerate()),
            ("negative", mixture.fraction_negative(), self.negative_interval(), near_ties.fraction_negative()),
        ]
        values = astuple(mixture)[:4]
        parameters = zip(AXIS_NAMES, values, self.parameters_interval().T, near_ties.parameters.T, strict=True)
        lines = [
            f"  {name} {text(value)}, 95% interval {text(low)} to {text(high)}; near-ties {text(ties.min())} to "
            f"{text(ties.max())}"
            for table, text in ((fractions, percent), (parameters, "{:.4g}".format))
            for name, value, (low, high), ties in table
        ]
        more = "at least " if len(self.ties) == MOST_TIES else ""
        last = (
            f"  {more}{len(self.ties):,} points of the grid within {self.near:g} of the best objective; "
            f"{len(self.draws):,} draws, {self.num_discarded:,} discarded, {self.share_on_edge:.0%} on an edge of the "
            f"grid, {self.share_poor:.0%} poor"
        )
        return "\n".join([str(self.fit), *lines, last])

    def _numbers(self, window: Window, level: float) -> Numbers:
        shares = self._named("num_discarded", "share_on_edge", "share_poor")
        numbers = {**self.fit._numbers(window, level), **shares}
        add_intervals(numbers, self, window, level)
        return numbers


def fit_uncertainty(
    moments: Moments, *, grid: Grid | None = None, num_draws: int = 1000, seed: int = 0, near: float = 0.01
) -> FitUncertainty:
    """Fit the mixture, and say how certain its parameters and fractions are.

    Parameters
    ----------
    moments
        Four or more, with samples of at least two probes.
    grid
        Where to look; `Grid.paper` if not given.
    num_draws
        D: drawn moments, each fitted on the whole grid.
    seed
        Of the draws.
    near
        Points of the grid whose objective exceeds the best by no more are near-ties.

    Raises
    ------
    ValueError
        If an argument is out of range, `fit_mixture` refuses the moments, or nearly all draws have no density behind
        them: the moments contradict each other.

    Notes
    -----
    Cost: D + 1 fits of 1 to 3 ms on `Grid.paper`, in as many threads as Numba is set to use, and some 0.1 s for
    near-ties.

    Drawn moments have the correlations of the samples (a Gaussian copula) and the quantiles of `Moments.interval`, so
    their own intervals are those of the moments. Draws that no density has are left out: their Hankel matrix is not
    positive semidefinite. Intervals lie between percentiles of the fits. They are about the mixture that fits the exact
    moments, and not about the spectrum, which need not be such a mixture. Near-ties show the steps of the grid and how
    flat the objective is.

    Examples
    --------
    >>> from hessdens.mixture import Grid, fit_uncertainty
    >>> from hessdens.results import Moments
    >>> moments = Moments.from_samples([[0.3, 0.9, 2, 6], [0.4, 1, 2.2, 6.5]], size=100, num_products=4)
    >>> uncertainty = fit_uncertainty(moments, grid=Grid.for_moments(moments, num_points=10), num_draws=20)
    >>> uncertainty.parameters_interval().shape  # lower and upper ends of weight, location, scale, shape
    (2, 4)
    """
    if not isinstance(moments, Moments):
        raise TypeError(f"moments must be Moments, which have samples; got {type(moments).__name__}.")
    at_least("num_draws", num_draws, 20)
    if not (np.isfinite(near) and near >= 0):
        raise ValueError(f"near must be at least 0 and finite; got {near}.")
    if moments.num_probes < 2:
        raise ValueError(f"moments must have samples of at least 2 probes; got {moments.num_probes}.")
    grid = Grid.paper() if grid is None else grid
    fit = fit_mixture(moments, grid=grid)
    candidates = _draw(moments, num_draws, np.random.default_rng(seed))
    feasible = candidates[_have_a_density(candidates)]
    if len(feasible) < LEAST_FEASIBLE * num_draws:
        raise ValueError(
            f"moments must be those of a density to within their errors; of {num_draws} draws only {len(feasible)} "
            "have one. Use more probes, or look at Moments.hankel_eigenvalue."
        )
    fits = fit_mixtures(feasible, grid=grid)
    from hessdens.mixture.grid_search import points_within

    flat = points_within(moments.values[:4], fit.objective + near, grid, MOST_TIES)
    ties = np.stack([axis[i] for axis, i in zip(grid.axes(), np.unravel_index(flat, grid.shape), strict=True)], axis=1)
    draws = np.array([astuple(each.mixture)[:4] for each in fits])
    objectives = np.array([each.objective for each in fits])
    on_edge = np.array([bool(each.on_edge) for each in fits])
    drawn, near_ties = (Mixtures(parameters, grid.narrow_scale) for parameters in (draws, ties))
    return FitUncertainty(fit, drawn, objectives, on_edge, num_draws - len(feasible), near_ties, near)


def _draw(moments: Moments, num_draws: int, generator: np.random.Generator) -> FloatArray:
    """Return moments that may be the true ones, shape (D, 4)."""
    values, errors = moments.values[:4], moments.standard_errors[:4]
    samples = (moments.samples - moments.known)[:, :4]
    deviations = (samples - samples.mean(axis=0)) / np.sqrt(len(samples) * (len(samples) - 1))
    # Columns have the standard errors as their lengths; what rounding adds to these is independent.
    scale = np.where(errors > 0, errors, 1.0)
    scaled = np.concatenate([deviations, np.diag(np.sqrt(np.maximum(errors**2 - np.sum(deviations**2, axis=0), 0)))])
    scaled = scaled / scale
    normal = generator.standard_normal((num_draws, len(scaled))) @ scaled
    return skewed_quantiles(values, errors, samples, np.clip(ndtr(normal), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))


def _have_a_density(moments: FloatArray) -> BoolArray:
    """Return for each row m_1..m_4 whether the Hankel matrix of 1, m_1, ... is positive semidefinite."""
    return (moments[:, 1] > 0) & (moments[:, 3] > 0) & (least_hankel_eigenvalue(moments) > -HANKEL_ROUNDING)


def _between_percentiles(draws: FloatArray, level: float) -> FloatArray:
    """Return the ends of the middle part of draws, along the first axis."""
    check_level(level)
    return np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
