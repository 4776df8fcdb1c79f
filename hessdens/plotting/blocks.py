"""Norms of all blocks of a matrix as a map."""

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from hessdens.plotting.axes import axes_or_new
from hessdens.results.structure.block_norms import BlockNorms
from hessdens.results.structure.named import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Parts whose names are written at the axes; of more, none are.
MOST_NAMES = 40
LABEL = r"$\|H_{ij}\| \; / \; \sqrt{\|H_{ii}\| \; \|H_{jj}\|}$"


def plot_block_norms(norms: BlockNorms, *, ax: "Axes | None" = None) -> "Axes":
    """Draw how strongly parts are coupled: |H_ij| / sqrt(|H_ii| |H_jj|), 1 on the diagonal.

    Parameters
    ----------
    norms
        From `block_norms`.
    ax
        Axes to draw on, which are returned. Default: new ones. Nothing is shown or saved.

    Raises
    ------
    TypeError
        If it is no `BlockNorms`.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from hessdens.structure import block_norms
    >>> norms = block_norms(np.eye(4), {"a": slice(0, 2), "b": slice(2, 4)})
    >>> [text.get_text() for text in plot_block_norms(norms, ax=Figure().subplots()).get_yticklabels()]
    ['a', 'b']
    """
    if not isinstance(norms, BlockNorms):
        raise TypeError(f"norms must be BlockNorms, from block_norms; got {type(norms).__name__}.")
    ax = axes_or_new(ax)
    coupling = norms.correlations()
    image = ax.imshow(coupling, cmap="magma_r", vmin=0, vmax=max(1.0, float(coupling.max())))
    ax.figure.colorbar(image, ax=ax, label=LABEL, shrink=0.8)
    places = np.arange(len(norms.names))
    names = _short(norms.names) if len(places) <= MOST_NAMES else []
    ax.set_yticks(places[: len(names)], names, fontsize=7)
    ax.set_xticks(places[: len(names)], names, rotation=90, fontsize=7)
    return ax


def _short(names: Sequence[str]) -> list[str]:
    """Return names without the modules that all of them are in."""
    levels = zip(*(name.split(".")[:-1] for name in names), strict=False)
    common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    return [shown(".".join(name.split(".")[common:])) for name in names]
