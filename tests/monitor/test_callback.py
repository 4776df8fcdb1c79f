"""What callbacks hand on is what the monitor takes; the monitor is made when training starts."""

import inspect

import pytest
import torch
from torch import nn

from hessdens import SpectrumMonitor, hessian_operator
from hessdens.monitor.callback import MonitorCallback, MonitorOptions
from hessdens.monitor.monitor import OperatorOptions

DATA = [(torch.eye(4), torch.zeros(4, 1))]


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
    with pytest.raises(TypeError, match=r"SpectrumMonitor takes no argument 'foward'. Write forward=."):
        SpectrumMonitor(nn.Linear(4, 1), nn.MSELoss(), DATA, foward=None)
    with pytest.raises(TypeError, match=r"SpectrumMonitor takes no argument 'evry'. Write every=."):
        SpectrumMonitor(nn.Linear(4, 1), nn.MSELoss(), DATA, evry=3)
    with pytest.raises(TypeError, match="SpectrumMonitor takes model, loss_fn and data by place, and all else by name"):
        SpectrumMonitor(nn.Linear(4, 1), nn.MSELoss(), DATA, 10)


def test_the_monitor_is_there_from_the_start_of_training():
    callback = MonitorCallback(nn.MSELoss(), iter(DATA), {"max_products": 8, "every": 10, "overhead": None})
    callback._go_on(5)
    assert callback.monitor is None
    assert len(callback.history) == 0
    callback._begin(nn.Linear(4, 1), 7)  # which reads the data, once
    for step in range(8, 21):
        callback._go_on(step)
    assert callback.history is callback.monitor.history
    assert callback.history.steps.tolist() == [7, 10, 20]
