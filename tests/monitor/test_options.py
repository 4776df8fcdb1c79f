"""What callbacks hand on is what the monitor takes, and what the monitor hands on is what operators take."""

import inspect

import pytest
import torch
from torch import nn

from hessdens import SpectrumMonitor, hessian_operator
from hessdens.monitor.options import MonitorOptions, OperatorOptions


def keywords(function):
    """Return the names of keyword-only arguments."""
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def test_options_of_a_problem_are_those_of_operators():
    assert set(OperatorOptions.__annotations__) == keywords(hessian_operator)


def test_options_of_callbacks_are_those_of_the_monitor():
    own = keywords(SpectrumMonitor.__init__) - {"start"}
    assert set(MonitorOptions.__annotations__) == own | set(OperatorOptions.__annotations__)


def test_other_options_are_named():
    with pytest.raises(TypeError, match="unexpected keyword argument 'foward'"):
        SpectrumMonitor(nn.Linear(4, 1), nn.MSELoss(), [(torch.eye(4), torch.zeros(4, 1))], foward=None)
