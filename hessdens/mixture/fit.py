"""The mixture that fits four moments best, over all points of a `Grid`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from hessdens._types import FloatArray, Window
from hessdens.densities.base import Density
from hessdens.mixture.grid import Grid
from hessdens.mixture.model import SkewNormalMixture
from hessdens.results.moments import Moments
from hessdens.results.saved import Numbers, Saved, Size

Index = tuple[int, int, int, int]
AXIS_NAMES = ("weight", "location", "scale", "shape")
EDGES = {f"{name} {edge}" for name in AXIS_NAMES for edge in ("lower", "upper")}
# Above this objective the summary says that the fit is poor: moments are then missed by 5% on average. The steps of the
# paper's grid alone explain up to 0.11 in 95% of cases (`benchmarks/grid_search.py`, mixtures off the grid).
POOR_OBJECTIVE = 0.2


@dataclass(frozen=True, eq=False)
class MixtureFit(Saved):
    """The best point of a grid, and how good it is.

    Parameters
    ----------
    mixture
        The fitted density; ask it for fractions, moments, cdf.
    objective
        L of eq. 6, the sum of the relative errors of four moments.
    residuals
        Signed relative errors (model m_k - m_k) / abs(m_k), shape (4,).
    index
        Position on the grid's axes: (weight, location, scale, shape), from 0.
    on_edge
        Axes of the grid on which the best point is the first or last, as in ``("weight upper",)``: the optimum may lie
        outside, and the fit is then a bound at best.
    num_points
        Number of mixtures that it is the best of.
    """

    mixture: SkewNormalMixture
    objective: Annotated[float, "amount"]
    residuals: Annotated[FloatArray, "4 finite"]
    index: Annotated[Index, "4 count"]
    on_edge: Annotated[tuple[str, ...], "E text"]
    num_points: Size

    def __post_init__(self) -> None:
        unknown = len(self.on_edge) > len(EDGES) or set(self.on_edge) - EDGES
        super().__post_init__()
        if unknown or len(set(self.on_edge)) < len(self.on_edge) or max(self.index) >= self.num_points:
            raise ValueError(
                f"index and on_edge must be of {self.num_points} points; got {self.index} and {self.on_edge[:9]}."
            )

    @property
    def is_poor(self) -> bool:
        """Whether the objective is above 0.2, moments missed by 5% on average."""
        return self.objective > POOR_OBJECTIVE

    def __str__(self) -> str:
        errors = ", ".join(f"m_{k} {error:+.2%}" for k, error in enumerate(self.residuals, start=1))
        title = f"  best of {self.num_points:,} mixtures, objective {self.objective:.4g} ({errors})"
        lines = [str(self.mixture), title]
        if self.on_edge:
            lines.append(
                f"  ON THE EDGE OF THE GRID ({', '.join(self.on_edge)}): the best mixture may lie outside it; "
                "Grid.for_moments scales the ranges to the moments."
            )
        if self.is_poor:
            lines.append(
                f"  POOR FIT: the objective is above {POOR_OBJECTIVE:g}, so this mixture does not have these moments; "
                "do not trust its fractions."
            )
        return "\n".join(lines)

    def _numbers(self, window: Window, level: float) -> Numbers:
        return self._named("objective", "num_points", "is_poor", "on_edge") | self.mixture._numbers(window, level)


def fit_mixture(moments: Moments | ArrayLike, *, grid: Grid | None = None, backend: str = "numba") -> MixtureFit:
    """Return the mixture of a grid whose first four moments come closest to the given ones.

    Parameters
    ----------
    moments
        `Moments` or an array of shape (K,), K >= 4. The first four are used.
    grid
        Where to look; `Grid.paper` if not given.
    backend
        ``"numba"`` searches boxes of points, best bound first; ``"numba-exhaustive"`` and ``"numpy"`` look at all
        points. They return the same index and objective, to the last bit.

    Raises
    ------
    ValueError
        If there are fewer than four moments, one is not finite, or one is 0 or so small that the objective divides by
        nothing; if the backend is unknown.
    TypeError
        If ``grid`` is no `Grid`.

    Notes
    -----
    Minimises eq. 6, L = Σ_{k=1..4} abs(model m_k - m_k) / abs(m_k), exactly: the result has the least computed L of all
    points of the grid, and of equal ones the lowest index (weight, location, scale, shape). On `Grid.paper`, 10⁸
    points, a fit takes 1 to 3 ms, after 0.3 s for what is computed once for a grid and, the first time ever, 4 s of
    compilation.

    Examples
    --------
    >>> from hessdens.mixture import Grid, SkewNormalMixture, fit_mixture
    >>> grid = Grid(weights=[0.1, 0.2], locations=[0, 1], scales=[1, 2], shapes=[0, 3])
    >>> fit = fit_mixture(SkewNormalMixture(0.2, 1.0, 2.0, 3.0).moments(4), grid=grid)
    >>> fit.index, fit.objective
    ((1, 1, 1, 1), 0.0)
    """
    return _fits([_first_four(moments)], [""], grid, backend)[0]


def fit_mixtures(
    many: Iterable[Moments | ArrayLike], *, grid: Grid | None = None, backend: str = "numba"
) -> tuple[MixtureFit, ...]:
    """Return what `fit_mixture` returns for each of many moments: one per thread, in as many as Numba is set to use.

    Parameters
    ----------
    many
        `Moments` or arrays of shape (K,), K >= 4, or an array of shape (F, K).
    grid, backend
        As for `fit_mixture`.

    Raises
    ------
    ValueError, TypeError
        As for `fit_mixture`; the message names the row, from 0.

    Examples
    --------
    >>> from hessdens.mixture import Grid, fit_mixtures
    >>> grid = Grid(weights=[0.1, 0.2], locations=[0, 1], scales=[1, 2], shapes=[0, 3])
    >>> [fit.index for fit in fit_mixtures([grid.point((1, 0, 1, 1)).moments(4)] * 2, grid=grid)]
    [(1, 0, 1, 1), (1, 0, 1, 1)]
    """
    if isinstance(many, Moments):
        raise TypeError("many must be a sequence of Moments or arrays; got one Moments. Use fit_mixture.")
    rows = list(many)
    places = [f" in row {row}" for row in range(len(rows))]
    return _fits([_first_four(*row) for row in zip(rows, places, strict=True)], places, grid, backend)


def _fits(values: list[FloatArray], places: list[str], grid: Grid | None, backend: str) -> tuple[MixtureFit, ...]:
    """Return the fit of each of ``values``, which stand at ``places`` of what the user gave."""
    grid = Grid.paper() if grid is None else grid
    if not isinstance(grid, Grid):
        raise TypeError(f"grid must be a Grid, such as Grid.paper(); got {type(grid).__name__}.")
    # Numba takes longer to import than the rest of this side of the library.
    from hessdens.mixture.grid_search import search

    moments = np.array(values).reshape(-1, 4)
    objectives, flat = search(moments, grid, backend)
    if not np.isfinite(objectives).all():
        row = int(np.argmin(np.isfinite(objectives)))
        raise ValueError(
            "moments must not be so small that the relative objective overflows on all of the grid; got "
            f"{moments[row].tolist()}{places[row]}. Rescale the operator, or use Grid.for_moments."
        )
    return tuple(
        _describe(grid, target, float(objective), int(index))
        for target, objective, index in zip(moments, objectives, flat, strict=True)
    )


def _first_four(moments: Moments | ArrayLike, place: str = "") -> FloatArray:
    """Return m_1..m_4, checked."""
    if isinstance(moments, Density) or hasattr(moments, "matmat"):
        call = "spectral_moments(H)" if hasattr(moments, "matmat") else "density.moments(4)"
        kind = type(moments).__name__
        raise TypeError(f"moments must be Moments or an array; got {kind}. Write fit_mixture({call}).")
    try:
        values = np.asarray(moments.values if isinstance(moments, Moments) else moments, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"moments must be Moments or an array of at least 4 numbers (fit_mixtures takes many of them); got "
            f"{type(moments).__name__} that makes no array of numbers{place} ({error})."
        ) from error
    if values.ndim != 1:
        raise ValueError(
            f"moments must have shape (K,), K >= 4 (fit_mixtures takes many of them); got shape {values.shape}{place}."
        )
    if len(values) < 4:
        raise ValueError(
            f"fit_mixture needs at least four moments; got {len(values)}{place}. "
            "Ask spectral_moments for num_moments=4."
        )
    values = values[:4]
    with np.errstate(over="ignore", divide="ignore"):
        overflow = ~np.isfinite(1 / values)
    rescale = " Rescale the operator."
    rules = (
        ("must be finite", ~np.isfinite(values), ""),
        ("must not be zero, because the objective divides by it", values == 0, ""),
        ("must not be so small that its reciprocal overflows, because the objective divides by it", overflow, rescale),
    )
    for rule, broken, action in rules:
        if broken.any():
            k = int(np.argmax(broken))
            raise ValueError(f"m_{k + 1} {rule}; got {values[k]}{place}.{action}")
    return values


def _describe(grid: Grid, moments: FloatArray, objective: float, flat: int) -> MixtureFit:
    weight, location, scale, shape = (int(i) for i in np.unravel_index(flat, grid.shape))
    index = (weight, location, scale, shape)
    mixture = grid.point(index)
    on_edge = tuple(
        f"{name} {edge}"
        for name, i, length in zip(AXIS_NAMES, index, grid.shape, strict=True)
        for edge, end in (("lower", 0), ("upper", length - 1))
        if i == end and length > 1
    )
    residuals = (mixture.moments(4) - moments) / np.abs(moments)
    return MixtureFit(mixture, objective, residuals, index, on_edge, grid.num_points)
