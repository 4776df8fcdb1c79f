"""The Gram matrix of output gradients, and what follows from it: eigenvalues and eigenvectors."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hessdens._checks import whole_at_least
from hessdens._threads import WATCH
from hessdens._types import FloatArray
from hessdens.curvature.operator import CurvatureOperator
from hessdens.curvature.settings import TURN, product_settings
from hessdens.estimators.run import progress_bar
from hessdens.linalg.memory import free_bytes, readable_bytes
from hessdens.structure.gauss_newton.low_rank import LowRankSpectrum
from hessdens.structure.gauss_newton.outputs import Root, blocks_of, joined_blocks, root_of
from hessdens.structure.gauss_newton.passes import planned_shares
from hessdens.structure.gauss_newton.rows import OtherUseError, Rows, Share, add_block, pulled_parts

# Matrices of all rows that are in memory at once, those of layers besides: sums, a part, and two of the solver.
MATRICES = 4
# Eigenvalues of the Gram matrix below so many roundings of the largest are zero.
ROUNDINGS_OF_ZERO = 10.0
# Of what is free, what rows may take.
SHARE_OF_FREE = 0.5


@dataclass(frozen=True)
class Spectral:
    """Eigenvalues of F^T J J^T F diag(s), and W with eigenvectors J^T F W in the space of the parameters."""

    values: FloatArray
    weights: FloatArray


@dataclass(frozen=True, eq=False)
class OutputGram:
    """The Gram matrix K = F^T J J^T F of the rows of a Gauss-Newton matrix J^T F diag(s) F^T J, and what made it.

    Attributes
    ----------
    operator, roots
        The Gauss-Newton matrix, and F for each block of examples.
    matrix
        K, shape (rows, rows).
    signs
        s, of the curvature of the loss in each row: 1 where the loss is convex in the outputs.
    layers, layer_sizes
        The same matrix for each layer alone, and numbers of parameters.
    memory, num_passes
        Bytes that were predicted to be needed, and passes over the data that were made of it.

    Examples
    --------
    >>> import torch
    >>> from hessdens import ggn_operator
    >>> from hessdens.structure import output_gram
    >>> model, data = torch.nn.Linear(2, 1, bias=False).double(), [(torch.eye(2).double(), torch.zeros(2, 1).double())]
    >>> gram = output_gram(ggn_operator(model, torch.nn.MSELoss(), data))
    >>> gram.matrix.round(6).tolist(), gram.spectrum().eigenvalues.round(6).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0])
    """

    operator: CurvatureOperator
    roots: tuple[Root, ...]
    matrix: FloatArray
    signs: FloatArray
    layers: Mapping[str, FloatArray]
    layer_sizes: Mapping[str, int]
    memory: float
    num_passes: int

    @property
    def num_rows(self) -> int:
        """Directions of all outputs in which the loss is curved, n C at most."""
        return len(self.signs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rows={self.num_rows}, size={self.operator.size}, layers={len(self.layers)})"

    def __str__(self) -> str:
        layers = "1 layer" if len(self.layers) == 1 else f"{len(self.layers):,} layers"
        return (
            f"Gram matrix of {self.num_rows:,} rows, of a Gauss-Newton matrix of {self.operator.size:,} in {layers}; "
            f"{readable_bytes(self.memory)}, {self.num_passes} passes over the data"
        )

    def spectrum(self) -> LowRankSpectrum:
        """Return all eigenvalues of the Gauss-Newton matrix."""
        return self._spectrum(self.matrix, self.operator.size)

    def layer_spectra(self) -> dict[str, LowRankSpectrum]:
        """Return all eigenvalues of the diagonal block of each layer."""
        return {name: self._spectrum(matrix, self.layer_sizes[name]) for name, matrix in self.layers.items()}

    def _spectrum(self, matrix: FloatArray, size: int) -> LowRankSpectrum:
        values = spectral_of(matrix, self.signs).values
        decay = self.operator.problem.weight_decay
        kept = np.sort(values[np.argsort(-np.abs(values))[:size]])
        return LowRankSpectrum(kept + decay, size, decay)

    def eigenvectors(self, count: int) -> tuple[FloatArray, Tensor]:
        """Return the eigenvalues of largest absolute value, in descending order of it, and their eigenvectors.

        The latter are the columns of a tensor of shape (N, count). Cost: one pass over the data.
        """
        whole_at_least("count", count, 1)
        spectral = spectral_of(self.matrix, self.signs)
        order = np.argsort(-np.abs(spectral.values))[:count]
        if count > len(order):
            raise ValueError(f"count must be at most the rank, {len(spectral.values):,}; got {count:,}.")
        operator = self.operator
        vectors = torch.zeros(count, operator.size, dtype=operator.dtype, device=operator.device)
        rows = self._rows(spectral.weights[:, order])
        with TURN, operator.problem.undisturbed(), product_settings(tf32=False):
            loss = operator.problem.loss
            values = dict(loss.named(operator.parameter_names))
            for block, singles in joined_blocks(operator):
                own = [next(rows) if counts else None for _, counts in singles]
                for part in pulled_parts(loss, block, [single for single, _ in singles], values, own):
                    vectors += part.to(vectors)
        return spectral.values[order] + operator.problem.weight_decay, vectors.T

    def _rows(self, weights: FloatArray) -> Iterator[FloatArray]:
        """Yield F w of each example, for each column w of ``weights``: shape (k, m)."""
        start = 0
        for root in self.roots:
            yield weights[start : start + root.rank].T @ root.columns
            start += root.rank


def spectral_of(matrix: FloatArray, signs: FloatArray) -> Spectral:
    """Return the eigenvalues other than zero: those of D^1/2 V^T diag(s) V D^1/2 for K = V D V^T."""
    lengths, vectors = np.linalg.eigh(matrix)
    kept = lengths > ROUNDINGS_OF_ZERO * len(lengths) * np.finfo(np.float64).eps * lengths.max(initial=0.0)
    lengths, vectors = lengths[kept], vectors[:, kept]
    if (signs > 0).all():
        return Spectral(lengths, vectors / np.sqrt(lengths))
    roots = np.sqrt(lengths)
    values, turned = np.linalg.eigh((vectors * roots).T @ (signs[:, None] * (vectors * roots)))
    return Spectral(values, (vectors / roots) @ turned)


def make_gram(
    operator: CurvatureOperator,
    layers: Mapping[str, frozenset[str]],
    max_rows: int,
    memory_limit: int | None,
    *,
    progress: bool,
) -> OutputGram:
    """Return the Gram matrix of all parameters, and that of each layer."""
    whole_at_least("max_rows", max_rows, 1)
    with TURN, operator.problem.undisturbed(), product_settings(tf32=False), WATCH.work(operator.device):
        roots = _roots(operator, max_rows, progress=progress)
        rows = sum(root.rank for root in roots)
        limit = SHARE_OF_FREE * free_bytes(operator.device) if memory_limit is None else memory_limit
        matrices = 8.0 * rows**2 * (MATRICES + len(layers))
        direct: frozenset[str] = frozenset()
        while True:
            try:
                shares, largest = planned_shares(operator, roots, direct, limit - matrices, matrices)
                whole, grams = _accumulated(operator, roots, shares, direct, layers, progress=progress)
                break
            except OtherUseError as error:
                direct |= error.names
    sizes = operator.parameter_sizes
    names = {layer: sum(sizes[name] for name in chosen) for layer, chosen in layers.items()}
    signs = np.concatenate([root.signs for root in roots])
    return OutputGram(operator, roots, whole, signs, grams, names, matrices + largest, len(shares) + 1)


def _roots(operator: CurvatureOperator, max_rows: int, *, progress: bool) -> tuple[Root, ...]:
    """Return the roots of all blocks, with weights that sum to 1; ValueError if they have too many rows."""
    loss, roots, total, rows = operator.problem.loss, [], 0.0, 0
    values = dict(loss.named(operator.parameter_names))
    with progress_bar(sum(1 for _ in blocks_of(operator)), "block", shown=progress) as bar:
        for block, weight in blocks_of(operator):
            total += weight
            if rows <= max_rows:
                roots.append(root_of(loss, block, values, weight))
                rows += roots[-1].rank
            else:
                rows += roots[0].rank
            bar.update()
    if rows > max_rows:
        raise ValueError(
            f"The Gram matrix may have max_rows={max_rows:,} rows at most; these data have about {rows:,}. Its matrix "
            f"takes {readable_bytes(8.0 * rows**2)}, and {readable_bytes(8.0 * rows**2 * MATRICES)} with its solver. "
            "Take fewer examples, raise max_rows, or use lanczos_density."
        )
    scale = 1 / math.sqrt(total)
    return tuple(Root(root.columns * scale, root.signs) for root in roots)


def _accumulated(
    operator: CurvatureOperator,
    roots: tuple[Root, ...],
    shares: list[Share],
    direct: frozenset[str],
    layers: Mapping[str, frozenset[str]],
    *,
    progress: bool,
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Return the sums of the Gram matrices of parameters: of all, and of those of each layer."""
    loss = operator.problem.loss
    values = dict(loss.named(operator.parameter_names))
    count = sum(root.rank for root in roots)
    whole, sums = np.zeros((count, count)), {layer: np.zeros((count, count)) for layer in layers}
    factored = frozenset().union(*(share.factored for share in shares)) - direct
    with progress_bar(len(shares) * len(roots), "block", shown=progress) as bar:
        for share in shares:
            rows = Rows(share)
            for (block, _), root in zip(blocks_of(operator), roots, strict=True):
                if root.rank:
                    add_block(rows, loss, block, values, factored, root)
                bar.update()
            for name, gram in rows.grams().items():
                part = gram.cpu().numpy()
                whole += part
                for layer in sums:
                    if name in layers[layer]:
                        sums[layer] += part
    return whole, sums
