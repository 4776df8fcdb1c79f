"""Pictures of densities, training runs, losses, eigenvectors, entries, layers and classes; tables of spectra."""

from hessdens.plotting.blocks import plot_block_norms
from hessdens.plotting.classes import plot_class_structure
from hessdens.plotting.density import plot_density
from hessdens.plotting.diagonal import plot_diagonal
from hessdens.plotting.directions import plot_carriers, plot_overlap, plot_subspace_angles
from hessdens.plotting.eigenpairs import plot_eigenpairs
from hessdens.plotting.halves import plot_halves
from hessdens.plotting.history import plot_history
from hessdens.plotting.slices import plot_slice
from hessdens.plotting.table import spectrum_table
from hessdens.plotting.traces import plot_layer_traces

__all__ = [
    "plot_block_norms",
    "plot_carriers",
    "plot_class_structure",
    "plot_density",
    "plot_diagonal",
    "plot_eigenpairs",
    "plot_halves",
    "plot_history",
    "plot_layer_traces",
    "plot_overlap",
    "plot_slice",
    "plot_subspace_angles",
    "spectrum_table",
]
