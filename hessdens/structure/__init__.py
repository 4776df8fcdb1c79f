"""Where in a matrix its size lies: entries, layers, heads, blocks, and halves."""

from hessdens.structure.attention import attention_parts
from hessdens.structure.block_norms import block_norms
from hessdens.structure.diagonal import diagonal
from hessdens.structure.gauss_newton.classes import class_structure
from hessdens.structure.gauss_newton.gram import OutputGram
from hessdens.structure.gauss_newton.low_rank import LowRankSpectrum
from hessdens.structure.gauss_newton.spectra import output_gram
from hessdens.structure.halves import CurvatureHalves
from hessdens.structure.layers import block_densities, layer_moments
from hessdens.structure.splitting import curvature_halves
from hessdens.structure.traces import layer_traces

__all__ = [
    "CurvatureHalves",
    "LowRankSpectrum",
    "OutputGram",
    "attention_parts",
    "block_densities",
    "block_norms",
    "class_structure",
    "curvature_halves",
    "diagonal",
    "layer_moments",
    "layer_traces",
    "output_gram",
]
