"""What the coefficients of a Krylov space say of deflation: the part of moments that is known, and what is left."""

from dataclasses import dataclass

import numpy as np

from hessdens._types import FloatArray
from hessdens.densities.ritz import CONVERGED
from hessdens.linalg.block_lanczos import BlockLanczos
from hessdens.linalg.walk import products_per_probe

# What a forecast's exponent is at least and at most: errors fall as the square root of probes, or faster where they
# change places, and not as fast as spectra of a few nodes promise.
SLOWEST, FASTEST = 0.5, 0.85
TINY = float(np.finfo(np.float64).tiny)
# More probes than any budget pays.
MOST_PROBES = 2.0**62
# Eigenvalues that a basis vector is expected to remove, after those of the first blocks.
EFFICIENCY = 0.6
# Numbers of further steps that are looked at, from one to all.
TRIED_STEPS = 20
# Halvings, on a scale of logarithms, of the range of what exchanged probes leave.
HALVINGS = 30
# What is left of vectors outside a space is rounding where it is shorter than this, relative to the longest.
DEPENDENT = 1e-10


@dataclass(frozen=True)
class Forecast:
    """Standard errors of K moments that so many probes of the rest should have, by the density of the start vectors.

    ``counts`` eigenvalues are at each of ``nodes``, in units of ``unit``; ``counts_left`` of them are not deflated. On
    spectra of networks the errors are found to be 0.5 to 1.1 times the true ones for up to a hundred probes.
    """

    nodes: FloatArray
    counts: FloatArray
    counts_left: FloatArray
    unit: float
    size: int
    num_moments: int
    num_start: int

    def moments(self) -> FloatArray:
        """Return m_1..m_K, the first no nearer to zero than the start vectors tell."""
        sums = self.nodes ** self._orders[:, None] @ self.counts
        unclear = np.sqrt(2 * (self.nodes**2 @ self.counts) / self.num_start)
        sums[0] = max(abs(sums[0]), unclear)
        return self._in_units(sums)

    def standard_errors(self, num_probes: int) -> FloatArray:
        """Return those of the means of so many probes, shape (K,)."""
        variances = _variances(self.nodes, self.counts_left, self.num_moments, num_probes)
        return self._in_units(np.sqrt(2 * np.maximum(variances, 0.0) / num_probes))

    def exponents(self, num_probes: int) -> FloatArray:
        """Return how errors fall from so many probes on, shape (K,): as probes to the power of -a."""
        few, many = (self.standard_errors(count)[0] for count in (num_probes, 2 * num_probes))
        falls = np.log2(few / many) if many > 0 else SLOWEST
        exponents = np.full(self.num_moments, SLOWEST)
        exponents[0] = np.clip((SLOWEST + falls) / 2, SLOWEST, FASTEST)
        return exponents

    @property
    def _orders(self) -> FloatArray:
        return np.arange(1.0, self.num_moments + 1)

    def _in_units(self, sums: FloatArray) -> FloatArray:
        with np.errstate(over="ignore", under="ignore"):
            return sums * self.unit**self._orders / self.size


class KrylovCoefficients:
    """A in the basis that a block Krylov space has so far: what its first blocks give K moments, and leave in B.

    The matrix is zero where it is not known, in the last block; ``num_known`` basis vectors have been multiplied.
    ``num_blocks`` can be deflated: walks of K steps from them stay within what is known.
    """

    def __init__(self, space: BlockLanczos, num_moments: int) -> None:
        self.num_moments = num_moments
        self.per_probe = products_per_probe(num_moments)
        self.num_steps = space.num_steps
        self.num_known = space.num_products
        self.num_blocks = space.num_steps + (0 if space.is_invariant else 1 - self.per_probe)
        self.start = space.start_coordinates
        self.matrix = space.matrix()
        # Entries up to 1, for what is asked up to a constant.
        self.scaled = self.matrix / max(float(np.abs(self.matrix).max()), TINY)

    def known_part(self, num_deflated: int) -> tuple[FloatArray, FloatArray]:
        """Return tr A^k - tr B^k for k = 1..K, and the sum of the k-th powers of absolute eigenvalues.

        The first ``num_deflated`` basis vectors are deflated. What overflows is infinite or NaN.
        """
        whole = np.linalg.eigvalsh(self.matrix)
        rest = np.linalg.eigvalsh(self.matrix[num_deflated:, num_deflated:])
        orders = range(1, self.num_moments + 1)
        with np.errstate(over="ignore", invalid="ignore"):
            known = np.array([np.sum(whole**k) - np.sum(rest**k) for k in orders])
            return known, np.array([np.sum(np.abs(whole) ** k) for k in orders])

    def probes_needed(self, rtol: float) -> int:
        """Return the probes of B that should give standard errors of ``rtol`` times the moments of abs(A).

        The variance of the k-th estimate of one probe is 2 tr B^{2k}, here by what the Krylov space shows of B.
        """
        nodes, counts = self.nodes_and_counts()
        orders = np.arange(1, self.num_moments + 1)
        traces = self.remaining_traces(self.num_moments, (self.num_blocks,))[0]
        errors = rtol * np.sum(counts * np.abs(nodes) ** orders[:, None], axis=1)
        with np.errstate(over="ignore", divide="ignore"):
            needed = np.max(2 * traces / np.maximum(errors, TINY) ** 2)
        return int(np.ceil(min(needed, MOST_PROBES)))

    def forecast(self, num_deflated: int, size: int) -> Forecast:
        """Return what probes promise where so many basis vectors are deflated, of N."""
        nodes, counts = self._by_size()
        left = np.clip(np.cumsum(counts) - EFFICIENCY * num_deflated, 0.0, counts)
        unit = max(float(np.abs(self.matrix).max()), TINY)
        return Forecast(nodes, counts, left, unit, size, self.num_moments, len(self.start))

    def has_gained(self, products_left: int) -> bool:
        """Return whether the latest blocks have made the variance fall by more than probes for another would."""
        width, num_blocks = len(self.start), self.num_blocks
        latest = min(2, num_blocks)
        before, now = self.remaining_sizes(self.per_probe, (num_blocks - latest, num_blocks))
        gain = (before - now) / latest
        return products_left > width and gain > np.log(products_left / (products_left - width))

    def will_gain(self, products_left: int, most_steps: int) -> bool:
        """Return whether some more steps should pay, by the density that the start vectors have shown so far.

        Of the basis vectors beyond the first blocks, six in ten are taken to remove an eigenvalue each, the largest
        first. Where a node stands for many, as in the bulk, that changes little.
        """
        nodes, counts = self._by_size()
        width = len(self.start)

        def size(num_steps: int, products: int) -> float:
            removed = EFFICIENCY * width * (num_steps - self.per_probe)
            left = np.clip(np.cumsum(counts) - removed, 0.0, counts)
            return _log_variance(nodes, left, self.num_moments, products / self.per_probe)

        now = size(self.num_steps, products_left)
        furthest = max(1, most_steps - self.num_steps)
        for more in np.unique(np.geomspace(1, furthest, num=TRIED_STEPS).astype(int)).tolist():
            rest = products_left - more * width
            if rest > 0 and size(self.num_steps + more, rest) < now:
                return True
        return False

    def _by_size(self) -> tuple[FloatArray, FloatArray]:
        """Return nodes and what they count, the largest absolute ones first."""
        nodes, counts = self.nodes_and_counts()
        order = np.argsort(-np.abs(nodes))
        return nodes[order], counts[order]

    def nodes_and_counts(self) -> tuple[FloatArray, FloatArray]:
        """Return the nodes of the start vectors' quadrature, in units of the largest coefficient, and what each counts.

        That is the number of eigenvalues that a node stands for: one where it is an eigenvalue, and never less, since
        the j-th largest eigenvalue is at least the j-th largest node (Cauchy).
        """
        matrix, known = self.scaled, self.num_known
        start = self.start
        nodes, vectors = np.linalg.eigh(matrix[:known, :known])
        counts = np.sum((start @ vectors[: start.shape[1]]) ** 2, axis=0) / len(start)
        residuals = np.linalg.norm(matrix[known:, :known] @ vectors, axis=0)
        gaps = np.diff(nodes, prepend=-np.inf, append=np.inf)
        is_eigenvalue = residuals < CONVERGED * np.minimum(gaps[:-1], gaps[1:])
        return nodes, np.where(is_eigenvalue, 1.0, np.maximum(counts, 1.0))

    def remaining_sizes(self, num_powers: int, depths: tuple[int, ...]) -> list[float]:
        """Return for each depth the mean over k of log tr B^{2k}, up to a constant: the variance of one probe."""
        traces = self.remaining_traces(num_powers, depths)
        return [float(x) for x in np.mean(np.log(np.maximum(traces, TINY)), axis=1)]

    def remaining_traces(self, num_powers: int, depths: tuple[int, ...]) -> FloatArray:
        """Return estimates of tr B^{2k}, of B without so many blocks, for each depth and k = 1..num_powers.

        In units of the largest coefficient. Each start vector in turn serves as a probe of the matrix without the
        Krylov space of the others, all in coordinates, so that it takes no product. Later probes are independent of it.
        """
        matrix, start = self.scaled, self.start
        traces = np.zeros((len(depths), num_powers))
        for left_out in range(len(start)):
            bases = _krylov_bases(matrix, np.delete(start, left_out, axis=0), max(depths))
            for row, depth in enumerate(depths):
                basis = bases[depth]
                vector = np.zeros(len(matrix))
                vector[: start.shape[1]] = start[left_out]
                vector -= basis @ (basis.T @ vector)
                for k in range(num_powers):
                    vector = matrix @ vector
                    vector -= basis @ (basis.T @ vector)
                    traces[row, k] += vector @ vector / len(start)
        return traces


def _log_variance(nodes: FloatArray, counts: FloatArray, num_moments: int, num_probes: float) -> float:
    """Return the mean over k of the log of the variance of m_k, by orthonormal probes, up to a constant."""
    variances = _variances(nodes, counts, num_moments, num_probes)
    return float(np.mean(np.log(np.maximum(variances, TINY)))) - float(np.log(num_probes))


def _variances(nodes: FloatArray, counts: FloatArray, num_moments: int, num_probes: float) -> FloatArray:
    """Return half the variance of tr A^k by one of so many orthonormal probes, shape (K,).

    ``counts`` eigenvalues are at each of ``nodes``. Probes of length sqrt(N) do not see their mean. For m_1 they change
    places: a share q = k / (a + k) of an eigenvalue a is left, with k such that the shares taken sum to their number
    (M. Derezinski, F. Liang, Z. Liao & M. Mahoney, 2020, of random projections). Fluctuations of these shares add the
    square of the sum of a q (1 - q), over that of q (1 - q): together within a tenth for usual spectra.
    """
    number = max(float(counts.sum()), TINY)
    sizes = np.abs(nodes)
    low, high = sizes.max() * 1e-18, sizes.max() * number / num_probes
    for _ in range(HALVINGS):
        middle = float(np.sqrt(low * high))
        takes_more = np.sum(counts * sizes / np.maximum(sizes + middle, TINY)) > num_probes
        low, high = (middle, high) if takes_more else (low, middle)
    values = nodes ** np.arange(1, num_moments + 1)[:, None]
    left = high / np.maximum(sizes + high, TINY)
    values[0] *= left
    variances: FloatArray = values**2 @ counts - (values @ counts) ** 2 / number
    mixed = counts * left * (1 - left)
    variances[0] += np.sum(sizes * mixed) ** 2 / max(float(mixed.sum()), TINY)
    return variances


def _krylov_bases(matrix: FloatArray, start: FloatArray, depth: int) -> list[FloatArray]:
    """Return orthonormal bases, as columns, of the block Krylov spaces of the rows of ``start`` of 0..depth blocks."""
    block = np.zeros((len(matrix), len(start)))
    block[: start.shape[1]] = start.T
    columns = np.zeros((len(matrix), min(len(matrix), depth * len(start))), order="F")
    ends = [0]
    for _ in range(depth):
        basis = columns[:, : ends[-1]]
        for _ in range(2):
            block = block - basis @ (basis.T @ block)
            q, r = np.linalg.qr(block)
            left, lengths, _ = np.linalg.svd(r)
            block = q @ left[:, lengths > DEPENDENT * max(1e-300, float(lengths.max(initial=0.0)))]
        ends.append(min(ends[-1] + block.shape[1], len(matrix)))
        columns[:, ends[-2] : ends[-1]] = block[:, : ends[-1] - ends[-2]]
        block = matrix @ block
    return [columns[:, :end] for end in ends]
