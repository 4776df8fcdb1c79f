"""Engines are made anew for each product, or kept: recorded work equals eager work, and is dropped where it is stale.

Without a CUDA device, the recording is stood in for by a function that repeats the work on the memory it was given.
"""

from dataclasses import replace

import pytest
import torch
from curvature_cases import normal
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, fisher_operator, ggn_operator, hessian_operator
from hessdens.curvature.engines.loss_module import LossModule
from hessdens.curvature.engines.maker import Adding, EngineMaker, GraphedProducts
from hessdens.curvature.engines.tables import ENGINES
from hessdens.curvature.plan import Schedule

INPUTS = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGETS = torch.arange(50) % 3
BATCHES = [slice(0, 20), slice(20, 40), slice(40, 50)]
DATA = [(INPUTS[rows], TARGETS[rows]) for rows in BATCHES]
MODES = ["feedforward", "forward-over-reverse", "reverse-over-reverse"]


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


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def vectors(size, seed=1):
    return torch.randn(size, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Recorder:
    """Stands in for the capture: like it, it takes memory and work, and runs nothing until it is replayed."""

    def __init__(self):
        self.captured = self.replayed = 0

    def __call__(self, add):
        self.captured += 1
        sums = torch.zeros(2, dtype=torch.float64)

        def replay():
            self.replayed += 1
            sums.copy_(add())

        return replay, sums


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr("hessdens.curvature.engines.maker._capture", recorder)
    return recorder


def graphed_operator(mode, model, data=DATA, probes_per_block=2, make=hessian_operator):
    """Return an operator that plans CUDA graphs, which only a CUDA device is allowed to ask for."""
    operator = make(model, F.cross_entropy, data)
    assert mode in operator.modes, "a mode is tried before it is used"
    operator._schedules.settled[5] = Schedule(mode, 10, probes_per_block, cuda_graph=True, tf32=False, memory=0)
    return operator


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [hessian_operator, ggn_operator, fisher_operator])
def test_recorded_products_equal_eager_ones(recorder, make, mode):
    model = network()
    operator = graphed_operator(mode, model, make=make)
    eager = make(model, F.cross_entropy, DATA, plan=Plan(mode, 10, 2))
    for seed in range(3):
        V = vectors(operator.size, seed)
        torch.testing.assert_close(operator @ V, eager @ V, rtol=1e-12, atol=1e-14)
    assert (recorder.captured, recorder.replayed) == (1, 4 + 5 + 5), "of 5 equal blocks, the first is eager once"


def test_blocks_of_each_shape_are_recorded_apart(recorder):
    data = [(INPUTS[:7], TARGETS[:7]), (INPUTS[7:16], TARGETS[7:16])] * 2
    model = network()
    operator = graphed_operator("feedforward", model, data)
    eager = hessian_operator(model, F.cross_entropy, data)
    V = vectors(operator.size)
    torch.testing.assert_close(operator @ V, eager @ V, rtol=1e-12, atol=1e-14)
    assert (recorder.captured, recorder.replayed) == (2, 2)


@pytest.mark.parametrize("mode", MODES)
def test_batches_of_different_weights_share_a_graph(recorder, mode):
    """As with numbers of tokens: a graph and a copy of every batch would take memory without limit."""
    model, data = network(), [(INPUTS[i : i + 10], TARGETS[i : i + 10]) for i in range(0, 50, 10)]
    options = {"num_examples": lambda batch: float(batch[0].square().sum()), "split_batches": False}
    operator = hessian_operator(model, F.cross_entropy, data, **options)
    assert mode in operator.modes, "a mode is tried before it is used"
    operator._schedules.settled[5] = Schedule(mode, 10, 2, cuda_graph=True, tf32=False, memory=0)
    eager = hessian_operator(model, F.cross_entropy, data, plan=Plan(mode), **options)
    for seed in range(2):
        V = vectors(operator.size, seed)
        torch.testing.assert_close(operator @ V, eager @ V, rtol=1e-12, atol=1e-14)
    assert recorder.captured == 1


@pytest.mark.parametrize("mode", MODES)
def test_products_follow_the_parameters(recorder, mode):
    model = network()
    operator = graphed_operator(mode, model)
    V = vectors(operator.size)
    before = operator @ V
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)  # in place: recorded work sees it
    captured = recorder.captured
    scaled = operator @ V
    assert recorder.captured == captured
    torch.testing.assert_close(scaled, hessian_operator(model, F.cross_entropy, DATA) @ V, rtol=1e-12, atol=1e-14)
    model[0].weight = nn.Parameter(2 * model[0].weight.detach())  # elsewhere in memory: recorded work would not
    replaced = operator @ V
    torch.testing.assert_close(replaced, hessian_operator(model, F.cross_entropy, DATA) @ V, rtol=1e-12, atol=1e-14)
    assert not torch.allclose(before, scaled)
    assert not torch.allclose(scaled, replaced)


def test_product_does_not_change_with_the_next_one(recorder):
    operator = graphed_operator("feedforward", network(), probes_per_block=5)
    V = vectors(operator.size)
    first = operator @ V
    copy, probes = first.clone(), V.clone()
    operator @ (V + 1)
    assert torch.equal(first, copy)
    assert torch.equal(V, probes)


def test_work_that_cannot_be_recorded_stays_eager(monkeypatch):
    attempts = []

    def fails(add):
        attempts.append(add)
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr("hessdens.curvature.engines.maker._capture", fails)
    model = network()
    operator = graphed_operator("forward-over-reverse", model)
    V = vectors(operator.size)
    for _ in range(2):
        torch.testing.assert_close(
            operator @ V, hessian_operator(model, F.cross_entropy, DATA) @ V, rtol=1e-12, atol=1e-14
        )
    assert len(attempts) == 1


def test_loss_that_is_not_finite_is_found_in_recorded_work(recorder):
    model = network()
    operator = graphed_operator("feedforward", model)
    V = vectors(operator.size)
    operator @ V
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="the loss of batch 0 is not"):
        operator @ V


def test_graph_on_a_cpu():
    with pytest.raises(ValueError, match="cuda_graph needs a model on a CUDA device; got cpu"):
        hessian_operator(network(), F.cross_entropy, DATA, plan=Plan(cuda_graph=True))


@pytest.mark.gpu
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [hessian_operator, ggn_operator, fisher_operator])
def test_graphs_on_cuda(make, mode):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = network().cuda()
    data = [(x.cuda(), y.cuda()) for x, y in DATA]
    plan = Plan(mode, 10, 2, cuda_graph=True)
    operator = make(model, F.cross_entropy, data, plan=plan)
    eager = make(model, F.cross_entropy, data, plan=replace(plan, cuda_graph=False))
    for seed in range(3):
        V = vectors(operator.size, seed).cuda()
        torch.testing.assert_close(operator @ V, eager @ V, rtol=1e-12, atol=1e-14)
    graphed = operator._maker._graphed
    assert graphed is not None
    assert graphed.is_capturable


def test_engines_may_change_from_block_to_block():
    model = network()
    loss, parameters = LossModule(model, F.cross_entropy, None), dict(model.named_parameters())
    maker = EngineMaker(ENGINES["hessian"], loss, parameters)
    V = vectors(sum(p.numel() for p in parameters.values())).T.contiguous()
    adding, whole = Adding(maker, V), maker.engine("reverse-over-reverse", V, 5)
    ways = [("feedforward", 2), ("feedforward", 2), ("reverse-over-reverse", 5), ("feedforward", 5)]
    for (mode, probes_per_block), start in zip(ways, range(0, 50, 15), strict=True):
        block = INPUTS[start : start + 15], TARGETS[start : start + 15]
        adding.engine(mode, probes_per_block, cuda_graph=False).add(block, float(len(block[0])))
        whole.add(block, float(len(block[0])))
    torch.testing.assert_close(adding.total(), whole.total(), rtol=1e-12, atol=1e-14)
    assert adding.error is None
