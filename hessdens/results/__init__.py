"""What an estimate is: numbers with their errors, and files."""

from hessdens.results.certificates import Certificates
from hessdens.results.chebyshev import ChebyshevMoments
from hessdens.results.counts import CertifiedCounts
from hessdens.results.data_noise import DataNoise
from hessdens.results.eigenpairs import Eigenpairs
from hessdens.results.moments import Moments

__all__ = ["Certificates", "CertifiedCounts", "ChebyshevMoments", "DataNoise", "Eigenpairs", "Moments"]
