"""Less data first: many products with few examples, few products with all."""

from hessdens.multilevel.moments import multilevel_moments

__all__ = ["multilevel_moments"]
