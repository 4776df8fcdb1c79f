"""What is drawn of a density: a curve for its bulk, a band around it, and eigenvalues that stand alone."""

from dataclasses import dataclass

import numpy as np

from hessdens._types import BoolArray, FloatArray
from hessdens.densities.base import Density
from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.spectrum import Spectrum
from hessdens.plotting.axes import AXIS_MARGIN, evenly
from hessdens.results.summaries.text import SHOWN_ENDS

# Bins of the axis, between whose edges masses are taken, and the standard deviation that smooths them, in bins.
NUM_BINS = 240
SMOOTHING = 2.5
# The Gaussian ends at so many standard deviations, at 1e-8 of its peak: below what an axis shows.
REACH = 6
# Points further apart than so many bins belong to two clusters. Eigenvalues in small clusters are drawn one by one.
GAP = 8.0
FEW = 20
# Eigenvalues at each end that are drawn one by one if they are outside of the window.
ENDS = 10
# Bins of a band are so many times as wide: as wide as what the curve is smoothed over.
BAND_BINS = 6
# Less than this part of an eigenvalue in a bin is not drawn.
LEAST = 0.02


@dataclass(frozen=True)
class Bins:
    """Edges of bins that are equally wide on the axis, shape (n + 1,)."""

    edges: FloatArray
    linear_width: float

    @classmethod
    def of(cls, values: FloatArray, linear_width: float) -> "Bins":
        """Return bins that hold all values, with a margin."""
        length = np.ptp(np.arcsinh(values / linear_width))
        margin = max(0.05 * length, AXIS_MARGIN)
        return cls(evenly(values, linear_width, NUM_BINS + 1, margin), linear_width)

    @property
    def centres(self) -> FloatArray:
        """Centres on the axis, shape (n,)."""
        places = np.arcsinh(self.edges / self.linear_width)
        return np.asarray(self.linear_width * np.sinh((places[1:] + places[:-1]) / 2), dtype=np.float64)

    @property
    def wide_edges(self) -> FloatArray:
        """Edges of the bins of a band."""
        return self.edges[::BAND_BINS]

    def alone(self, density: Density) -> FloatArray:
        """Return the eigenvalues that stand alone: known one by one, and away from the bulk on the axis."""
        if not isinstance(density, Spectrum | LanczosDensity):
            return np.empty(0)
        known = known_of(density)
        nodes = density.nodes()
        width = np.diff(np.arcsinh(self.edges[:2] / self.linear_width))[0]
        clusters = np.split(nodes, 1 + np.flatnonzero(np.diff(np.arcsinh(nodes / self.linear_width)) > GAP * width))
        ends = np.array([[np.nextafter(cluster[0], -np.inf), cluster[-1]] for cluster in clusters])
        bulk = np.argmax(density.cdf(ends) @ [-1, 1])
        apart = [cluster for i, cluster in enumerate(clusters) if i != bulk and len(cluster) <= FEW]
        return known[np.isin(known, np.concatenate([*apart, np.empty(0)]))]

    def marked(self, density: Density, half: float) -> FloatArray:
        """Return the eigenvalues that stand alone, and those known at either end outside of a window, ascending.

        The first at either end, which summaries print, are among them wherever they are.
        """
        if not isinstance(density, Spectrum | LanczosDensity):
            return np.empty(0)
        known, nodes = known_of(density), density.nodes()
        ends = np.concatenate([nodes[:ENDS], nodes[-ENDS:]])
        first = np.concatenate([nodes[:SHOWN_ENDS], nodes[-SHOWN_ENDS:]])
        return np.union1d(self.alone(density), known[np.isin(known, [*ends[np.abs(ends) >= half], *first])])

    def curve(self, density: Density, size: int) -> FloatArray:
        """Return the density at the centres without eigenvalues that stand alone, NaN where there is none, shape (n,).

        Masses of bins are smoothed by a Gaussian on the axis, so that single points of a quadrature are no steps.
        """
        smooth = _smoothed(np.maximum(_masses(density, self.edges, self.alone(density), size), 0.0))
        is_shown = (smooth * size > LEAST) & self._within(density, self.edges)
        return np.where(is_shown, smooth / np.diff(self.edges), np.nan)

    @staticmethod
    def _within(density: Density, edges: FloatArray) -> BoolArray:
        """Return which bins hold some of the range of a density's nodes."""
        nodes = density.nodes()
        return np.asarray((edges[1:] >= nodes[0]) & (edges[:-1] <= nodes[-1]))

    def band(self, density: LanczosDensity, level: float) -> FloatArray:
        """Return confidence intervals of the curve at the centres, shape (2, n); they hold it.

        They are intervals of masses in wide bins, smoothed as the curve is, so that they fall to 0 as it does. Of what
        is not known one by one, each wide bin has the mean only: its shape is finer than the curve shows.
        """
        known, wide = known_of(density), self.wide_edges
        bounds = density.mass_interval(wide, level) - np.histogram(known, wide)[0] / density.size
        others = np.maximum(bounds, 0.0) * self._within(density, wide) / BAND_BINS
        found = (np.histogram(known, self.edges)[0] - np.histogram(self.alone(density), self.edges)[0]) / density.size
        ends = [_smoothed(np.repeat(end, BAND_BINS) + found) / np.diff(self.edges) for end in others]
        curve = self.curve(density, density.size)
        return np.stack([np.fmin(ends[0], curve), np.fmax(ends[1], curve)])


def known_of(density: Spectrum | LanczosDensity) -> FloatArray:
    """Return the eigenvalues that are known one by one, ascending."""
    return density.eigenvalues if isinstance(density, Spectrum) else density.eigenvalues_found


def _masses(density: Density, edges: FloatArray, alone: FloatArray, size: int) -> FloatArray:
    """Return the mass in each bin, without eigenvalues that stand alone."""
    of_alone = np.histogram(alone, edges)[0] / size
    return np.asarray(np.diff(density.cdf(edges)) - of_alone, dtype=np.float64)


def _smoothed(masses: FloatArray) -> FloatArray:
    """Return masses of bins smoothed by a Gaussian on the axis."""
    reach = round(REACH * SMOOTHING)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SMOOTHING) ** 2)
    return np.convolve(masses, kernel / kernel.sum(), mode="same")
