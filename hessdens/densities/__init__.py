"""What a spectrum looks like."""

from hessdens.densities.base import Density
from hessdens.densities.bounds import cdf_bounds, degenerate_bounds, negative_bounds
from hessdens.densities.compare import Comparison, compare
from hessdens.densities.difference import DensityDifference
from hessdens.densities.kernel_polynomial import KernelPolynomialDensity, kernel_polynomial
from hessdens.densities.lanczos import LanczosDensity
from hessdens.densities.maximum_entropy import MaximumEntropyDensity, maximum_entropy
from hessdens.densities.spectrum import Spectrum

__all__ = [
    "Comparison",
    "Density",
    "DensityDifference",
    "KernelPolynomialDensity",
    "LanczosDensity",
    "MaximumEntropyDensity",
    "Spectrum",
    "cdf_bounds",
    "compare",
    "degenerate_bounds",
    "kernel_polynomial",
    "maximum_entropy",
    "negative_bounds",
]
