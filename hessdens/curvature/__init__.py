"""From a model, a loss and data to an operator."""

from hessdens.curvature.data.subsets import fewer_examples
from hessdens.curvature.factories import fisher_operator, ggn_operator, hessian_operator
from hessdens.curvature.frameworks.lightning import from_lightning
from hessdens.curvature.frameworks.transformers import from_transformers
from hessdens.curvature.gradient_noise import GradientNoise, gradient_noise
from hessdens.curvature.operator import CurvatureOperator
from hessdens.curvature.plan import Plan, Schedule
from hessdens.curvature.problem import Problem

__all__ = [
    "CurvatureOperator", "GradientNoise", "Plan", "Problem", "Schedule", "fewer_examples", "fisher_operator",
    "from_lightning", "from_transformers", "ggn_operator", "gradient_noise", "hessian_operator",
]  # fmt: skip
