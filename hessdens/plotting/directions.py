"""Directions and subspaces: shares along eigenvectors, principal angles, and the layers that carry them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hessdens.eigenvectors.descriptions import Carriers, Overlap, SubspaceAngles
from hessdens.plotting.axes import SIZE, axes_or_new, height_of_rows, name_rows
from hessdens.results.structure.named import shown
from hessdens.results.summaries.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = TypeVar("Kind", Overlap, SubspaceAngles, Carriers)
# What bars of one place take of the distance to the next.
WIDTH = 0.8
# Places whose names are written at an axis; of more, their numbers are.
MOST_NAMES = 30
# Places of a map that have their numbers written in them.
MOST_NUMBERS = 80
# Points of several results are spread over so much of the distance of two numbers.
SPREAD = 0.4
# Of a marker for what is due to chance.
CHANCE: dict[str, Any] = {"color": "0.25", "lw": 1.2}


def plot_overlap(overlap: Overlap | Mapping[str, Overlap], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the share of a direction along each eigenvector, or cluster of them, as bars with their limits.

    A line across each bar is the share that a random direction has on average: members / N.

    Parameters
    ----------
    overlap
        From `overlap`; or several by their names, of the same clusters, as bars side by side.
    ax
        Axes to draw on, which are returned. Default: new ones. Nothing is shown or saved.

    Raises
    ------
    TypeError
        If it is no `Overlap`.
    ValueError
        If there is none, or several are of different clusters.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from hessdens import eigenpairs
    >>> from hessdens.eigenvectors import overlap
    >>> pairs = eigenpairs(np.diag([1.0, 2.0, 8.0, 9.0]), 2, rtol=1e-9)
    >>> ax = plot_overlap(overlap(pairs, np.array([0.0, 0.0, 3.0, 4.0])), ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['9.00', '8.00']
    """
    overlaps = _by_name(overlap, Overlap, "overlap")
    first = next(iter(overlaps.values()))
    if any(not np.array_equal(other.values, first.values) for other in overlaps.values()):
        raise ValueError("overlaps must be with the same eigenpairs, to share axes; their eigenvalues differ.")
    ax = axes_or_new(ax)
    places, width = np.arange(float(len(first.values))), WIDTH / len(overlaps)
    for index, (name, each) in enumerate(overlaps.items()):
        total, low, high = 100 * each.total
        ax.bar(
            places + (index - (len(overlaps) - 1) / 2) * width, 100 * each.shares, width, color=f"C{index}", alpha=0.7,
            yerr=100 * np.abs(np.stack([each.low, each.high]) - each.shares), error_kw={"lw": 1.2, "capsize": 2},
            label=f"{name or 'direction'}: {total:.3g}% ({low:.3g}% to {high:.3g}%) in all",
        )  # fmt: skip
    chance = 100 * np.array(first.members) / first.size
    ax.hlines(chance, places - WIDTH / 2, places + WIDTH / 2, label="random direction", **CHANCE)
    if len(places) <= MOST_NAMES:
        counts = [f" ({count})" if count > 1 else "" for count in first.members]
        names = [f"{value:#.3g}{count}" for value, count in zip(first.values, counts, strict=True)]
        ax.set_xticks(places, names, rotation=0 if len(places) <= 6 else 90, fontsize="small")
        ax.set_xlabel("eigenvalue (members of its cluster)" if max(first.members) > 1 else "eigenvalue")
    else:
        ax.set_xlabel("number of the eigenvalue, as in the eigenpairs")
    ax.set_ylabel("share of the squared length (%)")
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_subspace_angles(angles: SubspaceAngles | Mapping[str, SubspaceAngles], *, ax: "Axes | None" = None) -> "Axes":
    """Draw principal angles with their limits: 0 where subspaces share a direction, π/2 where they share none.

    A dotted line is the angle between random subspaces of the same dimensions: its squared cosine is their mean one.

    Parameters
    ----------
    angles
        From `subspace_angles`; or several by their names.
    ax
        Axes to draw on, which are returned. Default: new ones. Nothing is shown or saved.

    Raises
    ------
    TypeError
        If it is no `SubspaceAngles`.
    ValueError
        If there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from hessdens.eigenvectors import subspace_angles
    >>> angles = subspace_angles(np.eye(9)[:2], np.eye(9)[1:4])
    >>> [line.get_text() for line in plot_subspace_angles(angles, ax=Figure().subplots()).get_legend().get_texts()]
    ['random subspaces: 33.33% shared', '50.00% shared']
    """
    from matplotlib.ticker import MaxNLocator  # here, because it takes 0.3 s to import

    found = _by_name(angles, SubspaceAngles, "angles")
    ax = axes_or_new(ax)
    for chance in dict.fromkeys(each.shared_by_chance for each in found.values()):
        if np.isnan(chance):
            continue
        label = f"random subspaces: {percent(chance)} shared"
        ax.axhline(float(np.arccos(np.sqrt(chance))), ls=":", label=label, **CHANCE)
    for index, (name, each) in enumerate(found.items()):
        shift = SPREAD * ((index + 0.5) / len(found) - 0.5)
        ax.errorbar(
            np.arange(1, len(each.angles) + 1) + shift, each.angles, fmt="o", ms=4, lw=1.2, color=f"C{index}",
            yerr=np.abs(np.stack([each.low, each.high]) - each.angles),
            label=f"{name}: {percent(each.shared)} shared" if name else f"{percent(each.shared)} shared",
        )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_yticks(np.pi / 8 * np.arange(5), ["0", "π/8", "π/4", "3π/8", "π/2"])
    ax.set_ylim(-0.05, np.pi / 2 + 0.05)
    ax.set(xlabel="number of the principal angle, from the smallest", ylabel="principal angle (rad)")
    ax.legend(frameon=False, fontsize="small")
    return ax


def plot_carriers(carriers: Carriers | Mapping[str, Carriers], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the share of each layer in a direction as a bar, or the shares in several directions as a map.

    The mark at a bar is the layer's part of all parameters: its share in a random direction, on average.

    Parameters
    ----------
    carriers
        From `carriers`; or several by their names, of the same layers, each a column of the map.
    ax
        Axes to draw on, which are returned. Default: new ones, as high as the layers need. Nothing is shown or saved.

    Raises
    ------
    TypeError
        If it is no `Carriers`.
    ValueError
        If there is none, or several are of different layers.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from hessdens.eigenvectors import Carriers
    >>> found = Carriers(("weight", "bias"), (40, 3), [0.75, 0.25], 7.5)
    >>> [text.get_text() for text in plot_carriers(found, ax=Figure().subplots()).get_yticklabels()]
    ['weight', 'bias']
    """
    found = _by_name(carriers, Carriers, "carriers")
    first = next(iter(found.values()))
    if any(other.layers != first.layers for other in found.values()):
        raise ValueError("carriers must be of the same layers, to share axes; their names differ.")
    ax = axes_or_new(ax, (SIZE[0], height_of_rows(len(first.layers))))
    if len(found) == 1:
        _draw_layers(ax, first)
    else:
        _draw_map(ax, found)
    name_rows(ax, [shown(name) for name in first.layers])
    ax.set_ylim(len(first.layers) - 0.5, -0.5)
    return ax


def _draw_layers(ax: "Axes", carriers: Carriers) -> None:
    rows, sizes = np.arange(float(len(carriers.layers))), np.array(carriers.sizes)
    ax.barh(rows, 100 * carriers.shares, WIDTH, alpha=0.7, label="share of the squared length")
    parts = 100 * sizes / sizes.sum()
    ax.vlines(parts, rows - WIDTH / 2, rows + WIDTH / 2, label="part of the parameters", **CHANCE)
    ax.set_xlim(left=0)
    ax.set_xlabel("share (%)")
    ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _draw_map(ax: "Axes", found: Mapping[str, Carriers]) -> None:
    shares = 100 * np.stack([each.shares for each in found.values()], axis=1)
    image = ax.imshow(shares, cmap="magma_r", vmin=0, aspect="auto", interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label="share (%)")
    if shares.size <= MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            color = "white" if share > shares.max() / 2 else "black"
            ax.text(
                column,
                row,
                f"{share:.0f}" if share >= 10 else f"{share:.1f}",
                ha="center",
                va="center",
                fontsize="x-small",
                color=color,
            )
    turned = max(map(len, found)) * len(found) > MOST_NAMES
    ax.set_xticks(np.arange(len(found)), [*found], rotation=90 if turned else 0, fontsize="small")


def _by_name(value: Any, kind: type[Kind], name: str) -> dict[str, Kind]:
    """Return results by their names, of a single one the empty name; TypeError if one is of another kind."""
    found = dict(value) if isinstance(value, Mapping) else {"": value}
    if not found:
        raise ValueError(f"{name} must hold one result at least; got none.")
    for each in found.values():
        if not isinstance(each, kind):
            maker = {Overlap: "overlap", SubspaceAngles: "subspace_angles"}.get(kind, "carriers")
            raise TypeError(f"{name} must be {kind.__name__}, from {maker}; got {type(each).__name__}.")
    return {str(label): each for label, each in found.items()}
