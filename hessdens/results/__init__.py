"""What an estimate is: numbers with their errors, and files."""

from hessdens.results.certificates import Certificates
from hessdens.results.chebyshev import ChebyshevMoments
from hessdens.results.counts import CertifiedCounts
from hessdens.results.data.level_traces import MultilevelTraces
from hessdens.results.data.levels import MultilevelMoments
from hessdens.results.data.noise import DataNoise
from hessdens.results.eigenpairs import Eigenpairs
from hessdens.results.moments import Moments
from hessdens.results.structure.block_norms import BlockNorms
from hessdens.results.structure.class_structure import ClassStructure
from hessdens.results.structure.diagonal import Diagonal
from hessdens.results.structure.traces import LayerTraces

__all__ = [
    "BlockNorms",
    "Certificates",
    "CertifiedCounts",
    "ChebyshevMoments",
    "ClassStructure",
    "DataNoise",
    "Diagonal",
    "Eigenpairs",
    "LayerTraces",
    "Moments",
    "MultilevelMoments",
    "MultilevelTraces",
]
