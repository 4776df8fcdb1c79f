"""What levels estimate: moments, or traces of layers. Both are sums over probes, and what deflated directions add."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from hessdens._types import FloatArray
from hessdens.estimators.budget import moment_scales
from hessdens.estimators.moments import spectral_moments
from hessdens.linalg.inner_products import column_dots, gram
from hessdens.linalg.operator import Operator
from hessdens.linalg.walk import products_per_probe
from hessdens.multilevel.plan import TINY, First
from hessdens.results.certificates import Certificates
from hessdens.results.data.level_traces import MultilevelTraces
from hessdens.results.data.levels import MultilevelMoments
from hessdens.results.moments import Moments
from hessdens.results.structure.traces import LayerTraces
from hessdens.structure.accuracy import TraceAccuracy
from hessdens.structure.parts import Parts, Selection
from hessdens.structure.traces import layer_traces

# Half of a 95% interval, in standard errors, as a plan has it: of a dozen degrees of freedom and some more.
HALF_WIDTH = 2.2
# Traces of layers take more products than moments of the whole.
FIRST_OF_MOMENTS, FIRST_OF_TRACES = First(0.2, 24), First(0.4, 64)
# Of traces without an accuracy, those below this part of the largest count as large as that.
LEAST_TRACE = 0.01


@dataclass(frozen=True)
class Change:
    """Samples of what one level changes, shape (P, K), and what makes a result of them.

    ``known`` is the part of each sample that ``num_deflated`` directions give exactly, shape (K,).
    """

    samples: FloatArray
    size: int
    num_products: int
    num_deflated: int
    known: FloatArray
    certificates: Certificates


class Quantity(Protocol):
    """K numbers of a matrix that levels estimate; both kinds are below."""

    @property
    def function(self) -> str:
        """Return the name of the public function, for checkpoints."""

    @property
    def count(self) -> int:
        """Return K."""

    @property
    def per_probe(self) -> int:
        """Return the products of a probe."""

    @property
    def deflates(self) -> bool:
        """Return whether directions may be deflated."""

    @property
    def first_level(self) -> First:
        """Return what the level of fewest examples has of all."""

    @property
    def tolerance(self) -> float | None:
        """Return the standard error that is asked for, in units of `scales`; None if there is none."""

    def forms(self, operator: Operator, V: Tensor, W: Tensor) -> FloatArray:
        """Return what probes V, shape (N, P), and their products W say, shape (P, k): of each step in turn."""

    def known(self, operator: Operator, basis: Tensor, products: Tensor) -> FloatArray:
        """Return by how much a matrix A exceeds what is left of it outside of a basis Q, from A Q, shape (K,)."""

    def scales(self, values: FloatArray) -> FloatArray:
        """Return the units of errors, positive."""

    def first(self, operator: Operator, max_products: int, **options: Any) -> Any:
        """Return an estimate from one operator, with its share of the accuracy."""

    def change(self, change: Change) -> Any:
        """Return an estimate of what a level changes."""

    def total(self, levels: Sequence[Any], num_examples: tuple[int, ...], rank: int) -> Any:
        """Return the sum of all levels."""

    def excess(self, result: Any) -> float:
        """Return the largest error over what is allowed; 0 if nothing is asked for."""


@dataclass(frozen=True)
class MomentsOfAll:
    """The first moments; ``rtol`` is of their 95% intervals."""

    count: int
    rtol: float | None = None
    function: str = "multilevel_moments"

    @property
    def tolerance(self) -> float | None:
        """The relative standard error that an interval may have."""
        return None if self.rtol is None else self.rtol / HALF_WIDTH

    @property
    def per_probe(self) -> int:
        """Products of a probe."""
        return products_per_probe(self.count)

    @property
    def first_level(self) -> First:
        """A small part, since a Krylov space tells most of them."""
        return replace(FIRST_OF_MOMENTS, num_products=FIRST_OF_MOMENTS.num_products * self.per_probe)

    @property
    def deflates(self) -> bool:
        """Whether directions may be deflated: formulas are those of two moments."""
        return self.count <= 2

    def forms(self, operator: Operator, V: Tensor, W: Tensor) -> FloatArray:
        """Return two moments of each probe."""
        pairs = [column_dots(first, W, operator.team).double().cpu().numpy() for first in (V, W)]
        result: FloatArray = np.stack(pairs, axis=1) / operator.size
        return result

    def known(self, operator: Operator, basis: Tensor, products: Tensor) -> FloatArray:
        """Return (tr A^k - tr B^k) / N."""
        inner = gram(basis.T, products.T, operator.team)
        squares = float(column_dots(products.T, products.T, operator.team).sum())
        return np.array([np.trace(inner), 2 * squares - np.sum(inner**2)])[: self.count] / operator.size

    def scales(self, values: FloatArray) -> FloatArray:
        """Return the moments of the absolute eigenvalues, or less."""
        return np.maximum(moment_scales(values), TINY)

    def first(self, operator: Operator, max_products: int, **options: Any) -> Moments:
        """Return the moments of one matrix."""
        rtol = None if self.rtol is None else self.rtol * self.first_level.share**0.5
        return spectral_moments(operator, self.count, max_products=max_products, rtol=rtol, **options)

    def change(self, change: Change) -> Moments:
        """Return moments from samples."""
        moments = Moments.from_samples(change.samples, size=change.size, num_products=change.num_products)
        return replace(moments, num_deflated=change.num_deflated, known=change.known)

    def total(self, levels: Sequence[Moments], num_examples: tuple[int, ...], rank: int) -> MultilevelMoments:
        """Return the moments of all examples."""
        return MultilevelMoments(tuple(levels), num_examples)

    def excess(self, result: MultilevelMoments) -> float:
        """Return half the width of the widest interval, relative to its moment, over what is allowed."""
        errors = float(np.max(result.standard_errors / self.scales(result.values)))
        return 0.0 if self.tolerance is None else errors / self.tolerance


@dataclass(frozen=True)
class TracesOfAll:
    """The traces of layers; ``accuracy`` is of their 95% intervals."""

    layers: Mapping[str, Selection] | None
    parts: Parts
    accuracy: TraceAccuracy
    function: str = "multilevel_layer_traces"
    per_probe: int = 1
    deflates: bool = True
    first_level: First = FIRST_OF_TRACES

    @property
    def count(self) -> int:
        """How many layers there are."""
        return len(self.parts.names)

    @property
    def tolerance(self) -> float | None:
        """What is allowed is the unit of errors."""
        return 1.0 if self.accuracy.is_asked else None

    def forms(self, operator: Operator, V: Tensor, W: Tensor) -> FloatArray:
        """Return the sum of V * W over each layer, for each probe."""
        result: FloatArray = self.parts.sums(V * W).T.numpy()
        return result

    def known(self, operator: Operator, basis: Tensor, products: Tensor) -> FloatArray:
        """Return sums of the diagonal of Q Q^T A + A Q Q^T - Q Q^T A Q Q^T over layers."""
        inner = basis.new_tensor(gram(basis.T, products.T))
        diagonal = (basis * (2 * products - inner @ basis)).sum(dim=0)
        result: FloatArray = self.parts.sums(diagonal[:, None]).numpy()[:, 0]
        return result

    def scales(self, values: FloatArray) -> FloatArray:
        """Return the standard errors that are allowed; without an accuracy, traces, of small ones a least size."""
        sizes = np.abs(values)
        if self.accuracy.is_asked:
            return np.maximum(self.accuracy.allowed(values) / HALF_WIDTH, TINY)
        return np.maximum(sizes, max(LEAST_TRACE * float(sizes.max()), TINY))

    def first(self, operator: Operator, max_products: int, **options: Any) -> LayerTraces:
        """Return the traces of one matrix."""
        part = self.accuracy.part(self.first_level.share)
        return layer_traces(operator, self.layers, max_products=max_products, rtol=part.rtol, atol=part.atol, **options)

    def change(self, change: Change) -> LayerTraces:
        """Return traces from samples."""
        parts = self.parts
        return LayerTraces.from_samples(
            change.samples, parts.names, parts.sizes, change.num_products, change.certificates
        )

    def total(self, levels: Sequence[LayerTraces], num_examples: tuple[int, ...], rank: int) -> MultilevelTraces:
        """Return the traces of all examples."""
        return MultilevelTraces(tuple(levels), num_examples, rank)

    def excess(self, result: MultilevelTraces) -> float:
        """Return half the width of the widest interval over what is allowed."""
        return float(self.accuracy.excess(result.values, result.half_widths()).max()) if self.accuracy.is_asked else 0.0
