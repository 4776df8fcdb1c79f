"""What a spectrum looks like."""

from hessdens.densities.base import Density
from hessdens.densities.bounds import cdf_bounds, degenerate_bounds, negative_bounds
from hessdens.densities.compare import Comparison, compare
from hessdens.densities.difference import DensityDifference
from hessdens.densities.from_moments.kernel_polynomial import KernelPolynomialDensity, kernel_polynomial
from hessdens.densities.from_moments.maximum_entropy import MaximumEntropyDensity, maximum_entropy
from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.quantities import (
    Quantity,
    condition_number,
    effective_dimension,
    frobenius_norm,
    log_determinant,
    numerical_rank,
    participation_ratio,
    schatten_norm,
    spectral_sum,
    stable_rank,
    trace,
)
from hessdens.densities.spectrum import Spectrum
from hessdens.densities.tails import Tail, power_law_tail

__all__ = [
    "Comparison",
    "Density",
    "DensityDifference",
    "KernelPolynomialDensity",
    "LanczosDensity",
    "MaximumEntropyDensity",
    "Quantity",
    "Spectrum",
    "Tail",
    "cdf_bounds",
    "compare",
    "condition_number",
    "degenerate_bounds",
    "effective_dimension",
    "frobenius_norm",
    "kernel_polynomial",
    "log_determinant",
    "maximum_entropy",
    "negative_bounds",
    "numerical_rank",
    "participation_ratio",
    "power_law_tail",
    "schatten_norm",
    "spectral_sum",
    "stable_rank",
    "trace",
]
