"""Vectors and operators: no model, no statistics."""

from hessdens.linalg.adapt import as_operator
from hessdens.linalg.operator import Operator

__all__ = ["Operator", "as_operator"]
