"""Pictures of densities, of training runs and of losses."""

from hessdens.plotting.density import plot_density
from hessdens.plotting.history import plot_history
from hessdens.plotting.slices import plot_slice

__all__ = ["plot_density", "plot_history", "plot_slice"]
