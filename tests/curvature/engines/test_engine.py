"""Losses and gradients that are not finite are found after a pass."""

import pytest
import torch
from curvature_cases import DATA, INPUTS, TARGETS, normal, refuse
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens.curvature.engines.engine import FiniteChecks, Replayable, UnsuitableError, check_sums
from hessdens.curvature.engines.loss_module import LossModule
from hessdens.curvature.engines.tables import ENGINES
from hessdens.errors import NonFiniteError


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_loss_that_is_not_finite_names_the_batch(value):
    refuse("the loss of batch 0 is", data=[(INPUTS * value, TARGETS)])
    refuse("the loss of batch 1 is not", data=[DATA[0], (INPUTS[5:] * value, TARGETS[5:])])


def test_gradient_that_is_not_finite_names_the_batch():
    """The square root of exactly 0 has a finite value and an infinite slope."""
    model = nn.Linear(3, 1, bias=False)
    model.weight.data.fill_(1.0)
    data = [(INPUTS[5:], INPUTS[5:, :1]), (torch.zeros(2, 3), torch.zeros(2, 1))]
    refuse("the gradient of batch 1 is not", model=model, loss_fn=lambda z, t: z.abs().sqrt().mean(), data=data)


@pytest.mark.parametrize(("matrix", "mode"), [(matrix, mode) for matrix in ENGINES for mode in ENGINES[matrix]])
def test_each_engine_of_the_tables_is_one(matrix, mode):
    model = nn.Linear(4, 3).double()
    values = dict(model.named_parameters())
    probes = normal(2, 15)
    engine = ENGINES[matrix][mode](LossModule(model, F.cross_entropy, None), values, probes, 2)
    batch = (normal(5, 4), torch.arange(5) % 3)
    sums = engine.add(batch, 2.0)
    assert sums.shape == (2,)
    assert sums.dtype == torch.float64
    once = engine.total().clone()
    assert once.shape == (2, 15)
    engine.add(batch, 2.0)
    torch.testing.assert_close(engine.total(), 2 * once, rtol=1e-9, atol=1e-12)
    assert (engine.error is None) == isinstance(engine, Replayable) == (mode != "central-differences")
    if isinstance(engine, Replayable):
        engine.load(probes)
        engine.add(batch, torch.tensor(2.0, dtype=torch.float64))
        torch.testing.assert_close(engine.total(), once, rtol=1e-12, atol=1e-14)


def test_sums_of_a_batch_are_looked_at_together():
    checks = FiniteChecks()
    checks.add(0, check_sums(torch.tensor(1.0), [torch.ones(3)]))
    checks.raise_if_not()
    checks.add(1, check_sums(torch.tensor(1.0), [torch.ones(3), torch.tensor([torch.inf])]))
    checks.add(1, check_sums(torch.tensor(1.0), [torch.ones(3)]))
    with pytest.raises(NonFiniteError, match="the gradient of batch 1 is not"):
        checks.raise_if_not()


@pytest.mark.parametrize("shape", [(), (0, 3)])
@pytest.mark.parametrize(("matrix", "mode"), [(matrix, mode) for matrix in ENGINES for mode in ENGINES[matrix]])
def test_each_engine_takes_parameters_without_dimensions_and_entries(matrix, mode, shape):
    """A factor beside a layer, or a parameter of no entries, in each engine that is made for it."""
    model = nn.ParameterDict({"w": normal(2, 3), "c": torch.full(shape, 0.5, dtype=torch.float64)})
    loss = LossModule(model, F.mse_loss, lambda model, batch: ((batch @ model["w"].T + model["c"].sum()).tanh(), 1.0))
    loss = loss.with_loss(lambda z, _: z.square().mean())
    values = dict(model.named_parameters())
    probes, batch = normal(3, 6 + model["c"].numel()), normal(4, 3)
    if mode == "feedforward":
        with pytest.raises(UnsuitableError):
            ENGINES[matrix][mode](loss, values, probes, 2)
        return
    engine, reference = (ENGINES[matrix][m](loss, values, probes.clone(), 2) for m in (mode, "reverse-over-reverse"))
    for each in (engine, reference):
        each.add(batch, 1.0)
    torch.testing.assert_close(engine.total(), reference.total(), rtol=1e-5, atol=1e-7)
    assert engine.total().abs().sum() > 0
