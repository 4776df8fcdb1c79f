"""From a model, a loss and data to an operator."""

from hessdens.curvature.factories import fisher_operator, ggn_operator, hessian_operator
from hessdens.curvature.operator import CurvatureOperator
from hessdens.curvature.plan import Plan

__all__ = [
    "CurvatureOperator",
    "Plan",
    "fisher_operator",
    "ggn_operator",
    "hessian_operator",
]
