"""Pictures of densities, of training runs, of losses and of blocks."""

from hessdens.plotting.blocks import plot_block_norms
from hessdens.plotting.density import plot_density
from hessdens.plotting.history import plot_history
from hessdens.plotting.slices import plot_slice

__all__ = ["plot_block_norms", "plot_density", "plot_history", "plot_slice"]
