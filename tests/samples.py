"""A result of every kind that has files."""

import numpy as np

from hessdens import Spectrum, compare, eigenpairs, fit_mixture, lanczos_density, spectral_moments
from hessdens.densities import kernel_polynomial, maximum_entropy
from hessdens.eigenvectors import Carriers, LossSlice, overlap, subspace_angles
from hessdens.estimators import certified_counts, chebyshev_moments, data_noise
from hessdens.mixture import Grid, fit_uncertainty
from hessdens.monitor import SpectrumHistory
from hessdens.monitor.history import SpectrumRecord
from hessdens.results import ClassStructure, Moments, MultilevelMoments, MultilevelTraces
from hessdens.structure import LowRankSpectrum, block_norms, curvature_halves, diagonal, layer_traces

MATRIX = np.diag(np.concatenate([np.random.default_rng(0).normal(0, 0.01, 40), [3.0, 2.0, -1.0]]))
HALVES = {"first": slice(0, 20), "second": slice(20, 43)}
GRID = Grid(np.array([1e-4, 1e-3]), np.array([0.0, 1.0]), np.array([0.1, 1.0]), np.array([0.0, 5.0]))


def make_results():
    moments, chebyshev = spectral_moments(MATRIX, max_products=60), chebyshev_moments(MATRIX, 8)
    exact = Spectrum(np.diag(MATRIX))
    uncertain = Moments.from_samples(
        np.random.default_rng(0).normal([0.0, 1.0, 0.0, 3.0], 0.01, (9, 4)), size=9, num_products=9
    )
    density = lanczos_density(MATRIX, max_products=30)
    pairs = eigenpairs(MATRIX, 3)
    records = [SpectrumRecord(step, 0.5, density, "", 1.0, 0.1) for step in (0, 10)]
    failed = SpectrumRecord(20, float("nan"), None, "not finite", 2.0, 0.2)
    results = [
        exact,
        moments,
        chebyshev,
        density,
        lanczos_density(MATRIX, max_products=30, low_memory=True),
        lanczos_density(MATRIX, max_products=30, eigenvectors=True),
        kernel_polynomial(chebyshev),
        maximum_entropy(chebyshev),
        fit_mixture(moments, grid=GRID),
        fit_mixture(moments, grid=GRID).mixture,
        fit_uncertainty(uncertain, grid=GRID, num_draws=20),
        compare(moments, exact),
        compare(kernel_polynomial(chebyshev), exact),
        data_noise([MATRIX, 2 * MATRIX], num_probes=4),
        MultilevelMoments((moments, spectral_moments(0.1 * MATRIX, max_products=60)), (10, 100)),
        certified_counts(MATRIX, max_products=20),
        pairs,
        overlap(pairs, np.ones(len(MATRIX))),
        subspace_angles(pairs, np.ones(len(MATRIX))),
        Carriers(("weight", "bias"), (40, 3), np.array([0.75, 0.25]), 7.5),
        LossSlice([-1.0, 0.0, 2.0], [[2.5], [1.0], [5.0]], 1.0, [0.5], [[2.0]], [1.0], 1e-6),
        density.difference(lanczos_density(2 * MATRIX, max_products=30)),
        diagonal(MATRIX, max_products=8),
        curvature_halves(MATRIX, np.abs(MATRIX), max_products=30),
        ClassStructure(43, [3.0, 1.0], [[1, 1], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [0, 1]], [[0, 0]] * 2, (4, 5)),
        LowRankSpectrum([3.0, 2.0, -1.0], 43, 0.01),
        layer_traces(MATRIX, HALVES, max_products=8),
        MultilevelTraces((layer_traces(MATRIX, HALVES), layer_traces(MATRIX, HALVES, max_products=8)), (10, 100), 2),
        block_norms(MATRIX, HALVES, num_probes=2),
        SpectrumHistory({"size": len(MATRIX), "model": "matrix"}, (*records, failed)),
    ]
    return {f"{type(result).__name__}-{index}": result for index, result in enumerate(results)}
