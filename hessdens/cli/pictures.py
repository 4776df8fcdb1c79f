"""What the command ``plot`` draws: results of one kind, several on one pair of axes where they are lines."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hessdens._checks import PAPER_WINDOW
from hessdens._types import Window
from hessdens.cli.errors import CommandError
from hessdens.densities import Density, Spectrum
from hessdens.eigenvectors import Carriers, LossSlice, Overlap, SubspaceAngles
from hessdens.monitor import SpectrumHistory
from hessdens.plotting import (
    plot_block_norms,
    plot_carriers,
    plot_class_structure,
    plot_density,
    plot_diagonal,
    plot_eigenpairs,
    plot_halves,
    plot_history,
    plot_layer_traces,
    plot_overlap,
    plot_slice,
    plot_subspace_angles,
)
from hessdens.plotting.axes import height_of_rows
from hessdens.plotting.history import SIZE, history_axes
from hessdens.results import BlockNorms, ClassStructure, Diagonal, Eigenpairs, LayerTraces
from hessdens.structure import CurvatureHalves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Results that have a picture to themselves.
ALONE: dict[type[Any], Callable[..., Any]] = {
    BlockNorms: plot_block_norms,
    ClassStructure: plot_class_structure,
    CurvatureHalves: plot_halves,
    Diagonal: plot_diagonal,
    Eigenpairs: plot_eigenpairs,
}
# Those that are drawn with others of their kind, by their labels.
BY_LABEL: dict[type[Any], Callable[..., Any]] = {
    Carriers: plot_carriers,
    Overlap: plot_overlap,
    SubspaceAngles: plot_subspace_angles,
}
DRAWN = (Density, SpectrumHistory, LossSlice, LayerTraces, *BY_LABEL, *ALONE)
WHAT = (
    "a density, a history, eigenpairs, losses along directions, shares of directions, angles, a diagonal, traces of "
    "layers, norms of blocks, halves or classes"
)


def draw(
    figure: "Figure",
    results: Sequence[Any],
    labels: Sequence[str],
    exact: Spectrum | None,
    *,
    window: Window | None,
    level: float,
) -> None:
    """Draw results with their labels; CommandError where they do not share axes."""
    kinds = [type(result) for result in results]
    if any(kind in ALONE for kind in kinds):
        if exact is not None or len(kinds) > 1:
            raise CommandError(
                "Eigenpairs, diagonals, blocks, halves and classes must be drawn one file at a time, without --exact."
            )
        (result,) = results
        if isinstance(result, Diagonal):
            _make_room(figure, len(result.names))
        options = {"window": window, "level": level} if isinstance(result, CurvatureHalves) else {}
        ALONE[kinds[0]](result, ax=figure.subplots(), **options)
    elif LossSlice in kinds:
        if exact is not None or (len(kinds) > 1 and not all(map(_is_line, results))):
            raise CommandError("Losses must be drawn apart from densities, without --exact, and a map of them alone.")
        axes = figure.subplots()
        for label, result in zip(labels, results, strict=True):
            plot_slice(result, ax=axes, label=label)
    elif any(kind in BY_LABEL for kind in kinds):
        if exact is not None or len(set(kinds)) > 1:
            raise CommandError("Angles and shares must be drawn apart from other results, without --exact.")
        if isinstance(results[0], Carriers):
            _make_room(figure, len(results[0].layers))
        BY_LABEL[kinds[0]](_by_label(labels, results), ax=figure.subplots())
    elif LayerTraces in kinds:
        if exact is not None or set(kinds) != {LayerTraces}:
            raise CommandError("Traces of layers must be drawn apart from other results, without --exact.")
        _make_room(figure, len(results[0].names))
        axes = figure.subplots()
        for label, result in zip(labels, results, strict=True):
            plot_layer_traces(result, ax=axes, label=label, level=level)
    elif SpectrumHistory in kinds:
        if exact is not None or set(kinds) != {SpectrumHistory}:
            raise CommandError("Histories must be drawn apart from densities, without --exact.")
        figure.set_size_inches(*SIZE)
        size = PAPER_WINDOW if window is None else window
        plot_history(_by_label(labels, results), axes=history_axes(figure), window=size)
    else:
        axes = figure.subplots()
        for index, (label, result) in enumerate(zip(labels, results, strict=True)):
            plot_density(result, exact=None if index else exact, ax=axes, label=label, window=window, level=level)


def _by_label(labels: Sequence[str], results: Sequence[Any]) -> Any:
    """Return a single result as it is, and several by their labels, with a number where two are equal."""
    if len(results) == 1:
        return results[0]
    is_clear = len(set(labels)) == len(labels)
    names = labels if is_clear else [f"{label} ({number})" for number, label in enumerate(labels, start=1)]
    return dict(zip(names, results, strict=True))


def _make_room(figure: "Figure", num_rows: int) -> None:
    """Make a figure as high as its rows need."""
    figure.set_size_inches(figure.get_figwidth(), height_of_rows(num_rows))


def _is_line(result: Any) -> bool:
    return isinstance(result, LossSlice) and result.num_directions == 1
