"""Settings of torch inside products, and that all that is the user's is what it was afterwards."""

import random
import signal
import warnings

import pytest
import torch
from curvature_cases import INPUTS, TARGETS
from interrupts import KINDS, Restless, data, in_threads, product, trials
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint
from users_state import changes, readable, state

from hessdens import Plan, hessian_operator
from hessdens.curvature.settings import BACKENDS, Undisturbed, product_settings


def settings():
    return (
        [backend.fp32_precision for backend in BACKENDS],
        readable(torch.get_float32_matmul_precision),
        readable(lambda: torch.backends.cudnn.allow_tf32),
        torch.backends.mha.get_fastpath_enabled(),
        torch.is_autocast_cache_enabled(),
    )


@pytest.fixture(params=["default", "old", "new"])
def users_settings(request):
    before = [backend.fp32_precision for backend in BACKENDS]
    if request.param == "old":
        torch.set_float32_matmul_precision("high")
    if request.param == "new":
        torch.backends.cuda.matmul.fp32_precision = "tf32"
    yield request.param
    torch.set_float32_matmul_precision("highest")
    for backend, precision in zip(BACKENDS, before, strict=True):
        backend.fp32_precision = precision


def test_full_precision_inside_and_the_users_settings_outside(users_settings):
    before = settings()
    with product_settings(tf32=False):
        precisions, matmul, allow_tf32, fast_path, cache = settings()
        assert set(precisions) == {"ieee"}
        assert allow_tf32 is False
        assert matmul == "highest" or users_settings == "new"
        assert not fast_path
        assert not cache
    assert settings() == before
    with pytest.raises(KeyError), product_settings(tf32=False):
        raise KeyError
    assert settings() == before
    with product_settings(tf32=True):
        assert settings()[:3] == before[:3]


@pytest.mark.parametrize("tf32", [False, True])
def test_products_are_made_under_these_settings(tf32):
    seen = []

    class Look(nn.Linear):
        def forward(self, x):
            seen.append(torch.backends.cudnn.conv.fp32_precision)
            return super().forward(x)

    outside = torch.backends.cudnn.conv.fp32_precision
    operator = hessian_operator(
        Look(4, 3), F.cross_entropy, [(torch.ones(5, 4), torch.arange(5) % 3)], plan=Plan(tf32=tf32)
    )
    seen.clear()
    operator @ torch.ones(operator.size)
    assert set(seen) == {outside if tf32 else "ieee"}


def test_missing_batching_rules_are_not_the_users_concern():
    model, inputs = nn.Sequential(nn.Linear(4, 6), nn.GLU()).double(), torch.ones(2, 4, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hessian_operator(model, nn.MSELoss(), [(inputs, inputs[:, :3])]) @ torch.eye(30, dtype=torch.float64)


# tests/interrupts.py strikes a thousand times.
@pytest.mark.parametrize(
    ("kind", "action"),
    [
        (KINDS[0], "product"),
        (KINDS[1], "construction"),
        (KINDS[2], "product"),
        (KINDS[3], "product"),
        (KINDS[5], "lanczos"),
        (KINDS[6], "product"),
    ],
)
def test_interrupts_leave_all_as_it_was(kind, action):
    warnings.simplefilter("ignore")
    for outcome, changed, _ in trials(kind, action, num=5, seed=1):
        assert changed == []
        assert outcome in ("KeyboardInterrupt", "finished")


@pytest.mark.parametrize("sharing", [{"operators": 1}, {"operators": 4}, {"constructing": 1}], ids=str)
def test_threads_take_turns(sharing):
    assert in_threads(KINDS[1], num_threads=4, num_products=3, **sharing) == []


@pytest.fixture
def interruptible():
    """Let Ctrl-C raise KeyboardInterrupt, which shells switch off for what they run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_waits_until_the_next_evaluation_and_a_second_one_does_not():
    handler, seen = signal.getsignal(signal.SIGINT), []

    class Interrupted(nn.Linear):
        def forward(self, x):
            for _ in range(self.num_interrupts):
                seen.append("struck")
                signal.raise_signal(signal.SIGINT)
            seen.append("went on")
            return super().forward(x)

    model = Interrupted(3, 2).double()
    model.num_interrupts = 0
    operator = hessian_operator(model, nn.CrossEntropyLoss(), data(), plan=Plan(examples_per_block=2))
    expected = product(operator)
    for number, story in ((1, ["struck", "went on"]), (2, ["struck", "struck"])):
        model.num_interrupts = number
        seen.clear()
        with pytest.raises(KeyboardInterrupt):
            product(operator)
        assert seen == story
        assert signal.getsignal(signal.SIGINT) is handler
    model.num_interrupts = 0
    assert torch.equal(product(operator), expected)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_in_the_last_evaluation_is_raised_at_the_end():
    with pytest.raises(KeyboardInterrupt), Undisturbed():
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_all_is_as_it_was_if_something_strikes_while_it_is_put_back(error, monkeypatch):
    model, strikes, setstate = Restless(), [error], random.setstate
    operator = hessian_operator(model, nn.CrossEntropyLoss(), data())
    before = state(model)

    def strike(state):
        if strikes:
            raise strikes.pop()
        setstate(state)

    monkeypatch.setattr(random, "setstate", strike)
    with pytest.raises(error):
        product(operator)
    assert changes(before, state(model)) == []


@pytest.mark.parametrize("place", ["loss", "model"])
def test_gradients_are_the_users_though_the_loss_calls_backward(place):
    class Energy(nn.Linear):
        def forward(self, x):
            if place == "loss":
                return super().forward(x)
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                super().forward(x).sin().square().sum().backward(create_graph=True)
            return x.grad

    def loss_fn(z, t):
        value = F.cross_entropy(z, t)
        if place == "loss":
            value.backward(retain_graph=True)
        return value

    model = Energy(3, 3)
    model.weight.grad = gradient = torch.arange(9.0).view(3, 3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using backward")
        operator = hessian_operator(model, loss_fn, [(INPUTS, TARGETS)])
        assert model.weight.grad is gradient
        operator @ torch.ones(operator.size)
        operator.loss()
    assert model.weight.grad is gradient
    assert torch.equal(gradient, torch.arange(9.0).view(3, 3))
    assert model.bias.grad is None


def test_random_numbers_and_attributes_are_the_users_while_an_error_is_kept():
    class Refusing(Restless):
        def forward(self, x):
            if len(x) == 2 and self.refuses:
                raise ArithmeticError
            return super().forward(x)

    model = Refusing()
    model.refuses = False
    loader = torch.utils.data.DataLoader(data(), batch_size=None)
    operator = hessian_operator(model, nn.CrossEntropyLoss(), loader)
    product(operator)
    model.refuses = True
    before = state(model)
    with pytest.raises(ArithmeticError) as error:
        product(operator)
    assert changes(before, state(model)) == []
    torch.rand(1)
    before = state(model)
    del error
    assert changes(before, state(model)) == []


def test_flags_and_buffers_are_the_users_though_the_forward_pass_changes_them():
    class Counting(nn.Linear):
        """Freezes its bias, and counts its passes, of which a checkpoint makes more in each backward pass."""

        def __init__(self):
            super().__init__(3, 3)
            self.register_buffer("passes", torch.zeros(()))

        def forward(self, x):
            self.bias.requires_grad_(False)
            return checkpoint(self.counted, x, use_reentrant=False)

        def counted(self, x):
            self.passes += 1
            return super().forward(x).tanh()

    model = Counting()
    before = state(model)
    with pytest.warns(UserWarning, match="no batch uses are left out: bias"):
        operator = hessian_operator(model, nn.CrossEntropyLoss(), [(INPUTS, TARGETS)])
    operator @ torch.ones(operator.size)
    assert changes(before, state(model)) == []
    assert model.bias.requires_grad
    assert float(model.passes) == 0
