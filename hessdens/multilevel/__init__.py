"""Less data first: many products with few examples, few products with all."""

from hessdens.multilevel.moments import multilevel_moments
from hessdens.multilevel.traces import multilevel_layer_traces

__all__ = ["multilevel_layer_traces", "multilevel_moments"]
