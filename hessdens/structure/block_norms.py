"""The norms of all blocks of a matrix from one set of products."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from hessdens._calls import takes_operator
from hessdens._types import FloatArray
from hessdens.estimators.run import Run, called_alike
from hessdens.linalg.inner_products import column_dots, raise_if_not_finite
from hessdens.linalg.memory import usual_bytes
from hessdens.linalg.operator import Operator
from hessdens.results.structure.block_norms import BlockNorms
from hessdens.structure.diagonal import check_whole
from hessdens.structure.parts import Parts, Selection

# Vectors of this many columns are in memory at once: those that are multiplied, their products, and what makes these.
COPIES_OF_BLOCK = 4


@takes_operator
def block_norms(
    A: Any,
    parts: Mapping[str, Selection] | None = None,
    *,
    num_probes: int = 8,
    seed: int = 0,
    block_size: int = 8,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> BlockNorms:
    """Estimate |A_ij|_F² for all pairs of parts, without bias, and what lies outside of the diagonal blocks.

    A probe v of ±1 that is zero outside of part j is multiplied by the whole matrix. The squared length of the product
    in part i has the mean |A_ij|_F², so the products of all parts give the whole matrix of norms. Parts i and j change
    places, and both estimates are averaged. The number v·Av has the trace of the diagonal block as its mean. The
    products of all parts of one probe add up to that of the whole probe, which gives the cosine between A v and its
    block-diagonal part.

    Parameters
    ----------
    A
        From `hessian_operator`, `ggn_operator` or `fisher_operator`, or anything that `as_operator` takes.
    parts
        What each part has, by its name: names and globs of parameters (``"h.0.*"``), a function of name and size, or
        slices of parameters, ``{"h.0.attn.c_attn.weight": np.s_[:, 0:64]}`` with several in a list; `attention_parts`
        makes those of attention heads. Of a matrix without parameters, slices of the whole vector. Default: the
        parameters of each module make a part.
    num_probes
        P >= 2, for each part. Standard errors fall as 1/sqrt(P).
    seed, block_size, checkpoint, progress
        As in `spectral_moments`. Blocks are smaller where memory is short.

    Returns
    -------
    BlockNorms
        Values and standard errors, shape (B, B), the share outside of the diagonal blocks and the cosine, with
        intervals.

    Raises
    ------
    ValueError
        If an argument is out of range, parts overlap, are empty or do not exist, or vectors are sharded.
    TypeError
        If ``parts`` is no dictionary, or names parameters of an operator that knows none.
    NonFiniteError
        If a product is not finite.

    Notes
    -----
    Cost: B P products, in B P / block_size passes over the data; memory: N (2 block_size + 3) numbers.

    Examples
    --------
    >>> import torch
    >>> from hessdens import hessian_operator
    >>> from hessdens.structure import block_norms
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    >>> H = hessian_operator(model, torch.nn.MSELoss(), [(torch.ones(4, 2), torch.zeros(4, 1))])
    >>> block_norms(H, {"weights": "*.weight", "biases": "*.bias"}, num_probes=4).values.shape
    (2, 2)
    """
    operator = called_alike("block_norms", A, locals())
    settings: dict[str, str | int] = {"function": "block_norms"}
    width = _width(operator, block_size)
    run = Run(
        operator, 1, seed, "rademacher", width,
        num_probes=num_probes, checkpoint=checkpoint, settings=settings, progress=progress,
    )  # fmt: skip
    check_whole(operator, "block_norms")
    found = _Sums(Parts.of(operator, parts), num_probes)
    count = len(found.parts.names)
    with run.bar(num_probes * count) as bar:
        for probe in range(num_probes):
            vector = run.probes(probe, probe + 1)
            for start, stop in run.blocks(0, count):
                found.add(run, probe, vector, range(start, stop))
                bar.update(stop - start)
            found.finish(probe)
    return BlockNorms(
        (found.squares + found.squares.transpose(0, 2, 1)) / 2,
        found.traces,
        found.cosines,
        found.parts.names,
        found.parts.sizes,
        num_probes * count,
        run.certificates(num_probes * count),
    )


def _width(operator: Operator, block_size: int) -> int:
    """Return the vectors that are multiplied at once: fewer than asked for where memory is short."""
    vector = COPIES_OF_BLOCK * operator.num_rows * operator.dtype.itemsize
    fits = operator.team.least(usual_bytes(operator.device) // vector)
    return min(block_size, max(1, int(fits)))


class _Sums:
    """What the products of masked probes add up to.

    Of one probe there are two whole vectors: the sum of its products, and what these have in their own parts.
    """

    def __init__(self, parts: Parts, num_probes: int) -> None:
        count = len(parts.names)
        self.parts = parts
        self.squares: FloatArray = np.empty((num_probes, count, count))
        self.traces: FloatArray = np.empty((num_probes, count))
        self.cosines: FloatArray = np.ones(num_probes)
        self._whole: Tensor | None = None
        self._own: Tensor | None = None

    def add(self, run: Run, probe: int, vector: Tensor, chosen: range) -> None:
        """Add the products of the parts of a probe."""
        products = run.recorded.matmat(self.parts.restricted(vector.expand(-1, len(chosen)), chosen))
        squares = self.parts.squares(products)
        raise_if_not_finite(squares, "that of part {} of probe " + str(probe), chosen[0])
        self.squares[probe][:, chosen] = squares.cpu().numpy()
        if self._whole is None or self._own is None:
            self._whole, self._own = products.new_zeros(len(products), 1), products.new_zeros(len(products), 1)
        self._whole += products.sum(dim=1, keepdim=True)
        for column, part in enumerate(chosen):
            for piece in self.parts.pieces[part]:
                piece.of(self._own).copy_(piece.of(products[:, column : column + 1]))
            self.traces[probe, part] = self._trace(vector, part)

    def _trace(self, vector: Tensor, part: int) -> float:
        """Return v·Av of a part, whose product is known there."""
        assert self._own is not None
        boxes = ([piece.of(V).flatten(end_dim=-2) for V in (vector, self._own)] for piece in self.parts.pieces[part])
        return sum(float(column_dots(v, own)) for v, own in boxes)

    def finish(self, probe: int) -> None:
        """Take the cosine of a probe whose parts have all been multiplied."""
        if self._whole is None or self._own is None:
            return
        lengths = [float(self.parts.squares(V).sum()) ** 0.5 for V in (self._whole, self._own)]
        inner, scale = float(column_dots(self._whole, self._own)), lengths[0] * lengths[1]
        self.cosines[probe] = inner / scale if scale > 0 else 1.0
        self._whole = self._own = None
