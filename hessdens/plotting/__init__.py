"""Pictures of densities and of training runs."""

from hessdens.plotting.density import plot_density
from hessdens.plotting.history import plot_history

__all__ = ["plot_density", "plot_history"]
