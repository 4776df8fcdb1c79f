"""From a model, a loss and data to an operator."""

from hessdens.curvature.factories import fisher_operator, ggn_operator, hessian_operator
from hessdens.curvature.operator import CurvatureOperator
from hessdens.curvature.plan import Plan, Schedule
from hessdens.curvature.problem import Problem

__all__ = ["CurvatureOperator", "Plan", "Problem", "Schedule", "fisher_operator", "ggn_operator", "hessian_operator"]
