"""Which engines are right for a loss, and which module is to blame."""

import warnings

import pytest
import torch
from curvature_cases import INPUTS, batches, dense, normal, refuse, relative_error
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812
from zoo import reference
from zoo.cases import Situation
from zoo.functions import Cube, CubeForwardWrong

from hessdens import Plan, ggn_operator, hessian_operator
from hessdens.curvature.engines.tables import ENGINES
from hessdens.curvature.trials import modes


def test_mode_falls_back_where_torch_has_no_forward_derivative():
    """The Huber loss has no forward derivative in torch, and the mean squared error's fails (pytorch issue 123996)."""
    inputs, targets = normal(37, 4), normal(37, 1, seed=1)
    huber = hessian_operator(nn.Linear(4, 1).double(), nn.HuberLoss(delta=100.0), batches(inputs, targets))
    square = hessian_operator(nn.Linear(4, 1).double(), nn.MSELoss(), batches(inputs, targets))
    assert huber.modes == square.modes == ("feedforward", "reverse-over-reverse")
    assert relative_error(dense(huber), dense(square) / 2) < 1e-13, "far from the kink, Huber is half the square"


class CubedOnce(Cube):
    """The same, whose backward pass torch must not differentiate."""

    backward = staticmethod(once_differentiable(Cube.backward))


@pytest.mark.parametrize("operation", [Cube, CubedOnce, CubeForwardWrong])
def test_custom_operations_have_right_products_or_a_measured_error(operation, recwarn):
    warnings.simplefilter("always")
    torch.manual_seed(3)
    model, data = nn.Linear(4, 3).double(), batches(normal(37, 4), torch.arange(37) % 3)

    def operator(cube):
        return hessian_operator(
            model, nn.CrossEntropyLoss(), data, forward=lambda model, batch: (cube(model(batch[0])), batch[1])
        )

    reference, found = dense(operator(lambda x: x**3)), operator(operation.apply)
    error = relative_error(dense(found), reference)
    if operation is CubedOnce:
        assert found.modes == ("central-differences",)
        assert "torch cannot differentiate this loss twice" in str(recwarn[0].message)
        assert error < found.product_error < 1e-5
    else:
        assert found.modes == ("reverse-over-reverse",)
        assert found.product_error is None
        assert error < 1e-13
        assert not recwarn


def test_second_derivative_that_is_not_finite():
    model = nn.Linear(3, 1, bias=False)
    model.weight.data.zero_()
    refuse(
        r"second derivative of the loss must be finite; that of batch 0 is not, because of the loss function\. Keep",
        model=model,
        loss_fn=lambda z, t: z.abs().pow(1.5).mean(),
        data=[(INPUTS, INPUTS[:, :1])],
    )

    class Root(nn.Linear):
        def forward(self, x):
            return super().forward(x).abs().pow(1.5)

    refuse(
        r"that of batch 0 is not, because of the model itself \(Root\)\. Keep roots",
        model=Root(3, 1, bias=False),
        loss_fn=F.mse_loss,
        data=[(0 * INPUTS, INPUTS[:, :1])],
    )


def test_without_second_derivative_there_is_an_error():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return 2 * gradient

    with pytest.raises(ValueError, match=r"must be differentiable twice.*once differentiable"):
        ggn_operator(
            nn.Linear(4, 3).double(), F.cross_entropy, [(normal(11, 4), torch.arange(11) % 3)],
            forward=lambda model, batch: (Once.apply(model(batch[0])), batch[1]),
        )  # fmt: skip


@pytest.mark.parametrize("is_detached", [True, False])
def test_targets_that_the_model_makes(is_detached):
    """Self-distillation: constants are constants; what depends on the parameters is part of the loss."""
    model, inputs = nn.Linear(4, 3).double(), normal(11, 4)

    def forward(model, batch):
        targets = model(batch.flip(-1)).softmax(dim=1)
        return model(batch), targets.detach() if is_detached else targets

    if is_detached:
        assert ggn_operator(model, F.cross_entropy, [inputs], forward=forward).size == 15
    else:
        with pytest.raises(ValueError, match=r"this one, or the targets, read parameters .*detach targets"):
            ggn_operator(model, F.cross_entropy, [inputs], forward=forward)
        assert "feedforward" not in hessian_operator(model, F.cross_entropy, [inputs], forward=forward).modes


def test_an_operation_without_second_derivative_in_a_later_batch_is_named():
    class Margins(nn.Module):
        def forward(self, x):
            return x * F.multi_margin_loss(x, torch.zeros(7).long()) if len(x) == 7 else x

    model = nn.Sequential(nn.Linear(4, 3), Margins()).double()
    data = [(normal(8, 4), torch.arange(8) % 3), (normal(7, 4), torch.arange(7) % 3)]
    options = {"split_batches": False, "num_examples": lambda batch: len(batch[1])}
    operator = hessian_operator(model, F.cross_entropy, data, **options)
    with pytest.raises(ValueError, match=r"twice by torch; in batch 1 .* is not: .* Put this batch first"):
        operator.matvec(torch.ones(15).double())


def test_an_error_of_the_forward_pass_of_a_later_batch_is_torchs_own():
    data = [(normal(8, 4), torch.arange(8) % 3), (normal(7, 5), torch.arange(7) % 3)]
    operator = hessian_operator(nn.Linear(4, 3).double(), F.cross_entropy, data, check_deterministic=False)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        operator.matvec(torch.ones(15).double())


def test_costly_mode_is_tried_when_it_is_wanted(monkeypatch):
    tried, original = [], modes.product_of

    def noted(make, *rest):
        tried.append(make)
        return original(make, *rest)

    monkeypatch.setattr(modes, "product_of", noted)
    costly = ENGINES["hessian"]["forward-over-reverse"]
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    data = batches(normal(37, 4), torch.arange(37) % 3)
    operator = hessian_operator(model.double(), nn.CrossEntropyLoss(), data)
    operator.matvec(torch.ones(operator.size, dtype=torch.float64))
    hessian_operator(model, nn.CrossEntropyLoss(), data, plan=Plan("reverse-over-reverse"))
    assert tried, "others are tried at once"
    assert costly not in tried, "neither making the operator nor a feedforward product needs it"
    assert operator.modes == ("feedforward", "forward-over-reverse", "reverse-over-reverse")
    assert costly in tried
    tried.clear()
    assert len(operator.modes) == 3
    assert tried == [], "it is tried once"


NARROW_AND_WIDE = [(normal(9, 3), torch.arange(9) % 3), (normal(2, 4, seed=1), torch.arange(2))]


class _Branches(nn.Module):
    """Does something else with wide inputs."""

    def __init__(self, ends, is_feedforward):
        super().__init__()
        self.narrow, self.wide, self.last = nn.Linear(3, 3), nn.Linear(4, 3), nn.Linear(3, 3)
        self.ends, self.middle = ends, nn.Identity() if is_feedforward else nn.LayerNorm(3, elementwise_affine=False)

    def forward(self, x):
        h = self.middle((self.wide if x.shape[1] == 4 else self.narrow)(x).tanh())
        return self.last(h + self.ends(h) if x.shape[1] == 4 else h)


def _without_a_graph(h):
    with torch.no_grad():
        return h.sigmoid()


def _with_a_zero(h):
    h = 2 * h
    h[:, 0] = 0
    return h


def _scripted(h):
    return torch.jit.script(_product)(h)


def _product(h):
    return torch.sigmoid(h) * h


@pytest.mark.parametrize("is_feedforward", [True, False])
@pytest.mark.parametrize(
    "ends",
    [
        _without_a_graph,
        _with_a_zero,
        _scripted,
        lambda h: h.detach(),
        lambda h: h * h.data,
        lambda h: h.sort(dim=1).values,
        torch.func.grad(lambda z: z.pow(3).sum()),
        lambda h: torch.autograd.grad(h.pow(3).sum(), h, retain_graph=True)[0],
    ],
)
def test_a_later_batch_of_other_operations_has_the_modes_that_are_right_for_it(ends, is_feedforward):
    model, data = _Branches(ends, is_feedforward).double(), NARROW_AND_WIDE
    operator = hessian_operator(model, F.cross_entropy, data)
    _, wanted = reference.matrix("hessian", Situation(model, F.cross_entropy, data))
    eye = torch.eye(operator.size, dtype=torch.float64)
    assert relative_error(operator @ eye, wanted) < 1e-12
    mode = "feedforward" if is_feedforward else "forward-over-reverse"
    one = hessian_operator(model, F.cross_entropy, data, plan=Plan(mode))
    if mode in operator.modes:
        assert relative_error(one @ eye, wanted) < 1e-12
    else:
        with pytest.raises(ValueError, match=f"plan.mode='{mode}' does not serve a later batch, .* Leave it out"):
            one @ eye


class _Scaled(nn.Module):
    """Has the same graph for wide inputs, where it scales by numbers without a derivative that depend on parameters."""

    def __init__(self, ends):
        super().__init__()
        self.narrow, self.wide, self.last = nn.Linear(3, 3), nn.Linear(4, 3), nn.Linear(3, 3)
        self.ends = ends

    def forward(self, x):
        h = (self.wide if x.shape[1] == 4 else self.narrow)(x).tanh()
        return self.last(h * (self.ends(h) if x.shape[1] == 4 else torch.ones_like(x)))


@pytest.mark.parametrize("ends", [_without_a_graph, lambda h: h.data + 1, lambda h: h.detach().exp()])
def test_a_later_batch_that_ends_a_derivative_without_a_trace_in_the_graph(ends):
    model, data = _Scaled(ends).double(), NARROW_AND_WIDE
    operator = hessian_operator(model, F.cross_entropy, data)
    _, wanted = reference.matrix("hessian", Situation(model, F.cross_entropy, data))
    assert relative_error(operator @ torch.eye(operator.size, dtype=torch.float64), wanted) < 1e-12


def test_the_costly_mode_is_tried_on_later_batches_of_other_operations_too():
    model = _Branches(lambda h: h * h.data, is_feedforward=True).double()
    operator = hessian_operator(model, F.cross_entropy, NARROW_AND_WIDE)
    assert len(operator.modes) == 3, "the first examples show nothing"
    operator = hessian_operator(model, F.cross_entropy, NARROW_AND_WIDE)
    operator.matvec(torch.ones(operator.size, dtype=torch.float64))
    assert operator.modes == ("reverse-over-reverse",)
