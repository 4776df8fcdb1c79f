"""Where in a matrix its size lies: entries, layers, heads, blocks, and halves."""

from hessdens.structure.attention import attention_parts
from hessdens.structure.block_norms import block_norms
from hessdens.structure.diagonal import diagonal
from hessdens.structure.gauss_newton.gram import OutputGram
from hessdens.structure.gauss_newton.low_rank import LowRankSpectrum
from hessdens.structure.gauss_newton.spectra import output_gram
from hessdens.structure.traces import layer_traces

__all__ = [
    "LowRankSpectrum",
    "OutputGram",
    "attention_parts",
    "block_norms",
    "diagonal",
    "layer_traces",
    "output_gram",
]
