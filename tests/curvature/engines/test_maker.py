"""Engines are made anew for each product, unless one is replayed."""

import pytest
import torch
from curvature_cases import normal
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens.curvature.engines.cuda_graphs import GraphedProducts
from hessdens.curvature.engines.loss_module import LossModule
from hessdens.curvature.engines.maker import EngineMaker
from hessdens.curvature.engines.tables import ENGINES


def maker():
    model = nn.Linear(4, 3).double()
    return EngineMaker(ENGINES["hessian"], LossModule(model, F.cross_entropy, None), dict(model.named_parameters()))


@pytest.mark.parametrize("mode", ENGINES["hessian"])
def test_engines_that_can_be_replayed_are_kept(mode):
    engines, probes = maker(), normal(2, 15)
    first = engines.engine(mode, probes, 2, cuda_graph=True)
    is_kept = mode != "central-differences"
    assert isinstance(first, GraphedProducts) == is_kept
    assert (engines.engine(mode, 2 * probes, 2, cuda_graph=True) is first) == is_kept
    assert not isinstance(engines.engine(mode, probes, 2), GraphedProducts)
    latest = engines.engine(mode, probes, 1, cuda_graph=True)
    assert latest is not first
    engines.release()
    assert engines.engine(mode, probes, 1, cuda_graph=True) is not latest


def test_parameters_elsewhere_in_memory_make_another_engine():
    engines, probes = maker(), normal(2, 15)
    first = engines.engine("feedforward", probes, 2, cuda_graph=True)
    engines._loss.model.weight = nn.Parameter(torch.zeros(3, 4).double())
    assert engines.engine("feedforward", probes, 2, cuda_graph=True) is not first
