"""The engines of each matrix, by mode and in order of preference."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

from hessdens.curvature.engines import general
from hessdens.curvature.engines.differences import DifferenceProducts
from hessdens.curvature.engines.engine import Make
from hessdens.curvature.engines.feedforward import FeedforwardProducts
from hessdens.curvature.engines.general import GeneralProducts

Mode = Literal["feedforward", "forward-over-reverse", "reverse-over-reverse", "central-differences"]
Matrix = Literal["hessian", "gauss-newton"]
# Backward passes need the least of torch, so other modes are compared with them.
REFERENCE: Mode = "reverse-over-reverse"
# Takes the longest to try: torch differentiates forwards by rules of its own, which it traces first.
COSTLY: Mode = "forward-over-reverse"
# For losses that torch can differentiate once only.
LAST_RESORT: Mode = "central-differences"

ENGINES: Mapping[Matrix, Mapping[Mode, Make]] = {
    "hessian": {
        "feedforward": FeedforwardProducts,
        "forward-over-reverse": partial(GeneralProducts, general.forward_over_reverse),
        "reverse-over-reverse": partial(GeneralProducts, general.reverse_over_reverse),
        "central-differences": DifferenceProducts,
    },
    "gauss-newton": {
        "feedforward": partial(FeedforwardProducts, gauss_newton=True),
        "forward-over-reverse": partial(GeneralProducts, general.gauss_newton_forward),
        "reverse-over-reverse": partial(GeneralProducts, general.gauss_newton_reverse),
    },
}
