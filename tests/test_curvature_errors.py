"""Bad models, losses and data: each is refused with its own message."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from hessdens import Plan, hessian_operator, spectral_moments

INPUTS = torch.linspace(-1, 1, 24).reshape(8, 3)
TARGETS = torch.arange(8) % 2
DATA = [(INPUTS[:5], TARGETS[:5]), (INPUTS[5:], TARGETS[5:])]


def linear():
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def refuse(match, *, model=None, loss_fn=F.cross_entropy, data=DATA, error=ValueError, **keywords):
    """Expect the error at construction or at the first product."""
    with pytest.raises(error, match=match):
        spectral_moments(hessian_operator(model or linear(), loss_fn, data, **keywords), num_probes=2)


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_declared_reduction(reduction):
    refuse(f"must return the mean .*; its reduction is '{reduction}'", loss_fn=nn.CrossEntropyLoss(reduction=reduction))


@pytest.mark.parametrize("data", [DATA, [(INPUTS[:1], TARGETS[:1])]], ids=["batches", "one example"])
@pytest.mark.parametrize("split_batches", [True, False])
def test_undeclared_sum(data, split_batches):
    refuse(
        "must return the mean .*; the losses of two halves of a batch add up",
        loss_fn=lambda z, t: F.cross_entropy(z, t, reduction="sum"),
        data=data,
        split_batches=split_batches,
    )


def test_mean_with_other_weights():
    refuse(
        "do not give that of the whole. If it is a mean with other weights pass num_examples=",
        loss_fn=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10.0])),
    )


def test_loss_that_is_not_a_scalar():
    refuse(r"The loss must be a scalar.*; got shape \(5,\)", loss_fn=lambda z, t: z.sum(dim=1))
    refuse("The loss must be a scalar.*; got float", loss_fn=lambda z, t: 1.0)


def test_empty_data():
    refuse("data must hold at least one batch; got none", data=[])


def test_generator_is_used_up():
    refuse("data must be re-iterable, .*; got generator, .* Pass list", data=(b for b in DATA), error=TypeError)


def test_one_batch_instead_of_batches():
    refuse(r"must be a pair .*; got Tensor. Pass \[\(inputs", data=(INPUTS, TARGETS), error=TypeError)
    refuse("must be an iterable of batches; got Tensor. Pass", data=INPUTS, error=TypeError)


def test_batch_that_is_no_pair():
    refuse(r"must be a pair \(inputs, targets\); got dict. .* or forward=", data=[{"x": INPUTS}], error=TypeError)


def test_batch_without_tensors():
    refuse("A batch must hold a tensor whose first dimension counts", data=[(3.0, 4.0)])


def test_shuffled_data():
    loader = DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=4, shuffle=True)
    refuse("same batches in every pass; batch 0 differs .* Switch off shuffling", data=loader)


class Changing:
    """Gives the passes that it was told to, one after another."""

    def __init__(self, *passes):
        self._passes = itertools.chain(passes[:-1], itertools.repeat(passes[-1]))

    def __iter__(self):
        return iter(next(self._passes))


@pytest.mark.parametrize(
    ("last", "batch"),
    [(DATA[:1], 1), ([*DATA, DATA[0]], 2), ([DATA[0], (INPUTS[5:] + 1, TARGETS[5:])], 1), ([DATA[1], DATA[0]], 0)],
)
def test_data_that_change_from_pass_to_pass(last, batch):
    """The first batch is looked at twice before the first product; the others are compared from the second on."""
    refuse(f"same batches in every pass; batch {batch} differs", data=Changing(DATA, DATA, DATA, last))
    hessian_operator(linear(), F.cross_entropy, Changing(DATA, last), check_deterministic=False)


def test_construction_does_not_read_all_data():
    class Counting:
        reads = 0

        def __iter__(self):
            for batch in DATA:
                Counting.reads += 1
                yield batch

    operator = hessian_operator(linear(), F.cross_entropy, Counting())
    assert Counting.reads == 2
    operator @ torch.ones(operator.size)
    assert Counting.reads == 4
    hessian_operator(linear(), F.cross_entropy, Counting(), check_deterministic=False)
    assert Counting.reads == 5


def test_dropout_and_batch_norm_in_training_mode():
    dropout = nn.Sequential(linear(), nn.Dropout(0.5))
    refuse("must not be random; Dropout '1' is in training mode. Call model.eval", model=dropout)
    norm = nn.Sequential(linear(), nn.BatchNorm1d(2))
    refuse("must not depend on its batch; BatchNorm1d '1' is in training mode. Call model.eval", model=norm)
    hessian_operator(dropout.eval(), F.cross_entropy, DATA)
    hessian_operator(norm.eval(), F.cross_entropy, DATA)


def test_noise_in_the_forward_pass():
    refuse(
        "must not be random; the same batch gave",
        data=[DATA[0]],
        forward=lambda model, batch: (F.dropout(model(batch[0])), batch[1]),
    )


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


def test_parameters():
    frozen = linear().requires_grad_(False)
    refuse("at least one trainable parameter; got 2 selected of 2, none with", model=frozen)
    refuse("at least one trainable parameter; the model has no parameters", model=nn.Flatten())
    refuse("'wieght' matches none. Near: .'weight'", parameters="wieght")
    refuse("got 0 selected of 2", parameters=lambda name, parameter: False)
    refuse("must depend on the selected parameters", loss_fn=lambda z, t: z.detach().mean() + t.float().mean())


def test_unused_selection():
    model = nn.ModuleDict({"used": linear(), "unused": linear()})
    forward = lambda model, batch: (model["used"](batch[0]), batch[1])  # noqa: E731
    refuse(
        "must depend on the selected parameters; it depends on none",
        model=model,
        forward=forward,
        parameters="unused.*",
    )


def test_mixed_dtypes_and_devices():
    model = nn.Sequential(linear(), nn.Linear(2, 2).to(torch.float64))
    forward = lambda model, batch: (model[1](model[0](batch[0]).double()), batch[1])  # noqa: E731
    refuse(r"must have one dtype; got torch.float32 \(0.bias\), torch.float64", model=model, forward=forward)
    refuse(
        r"The model must be on one device; got cpu .*, meta",
        model=nn.Sequential(linear(), nn.Linear(2, 2, device="meta")),
    )
    refuse("Inputs must have the model's dtype, torch.float32; got torch.float64", data=[(INPUTS.double(), TARGETS)])
    refuse("must be on the model's device, cpu; .* has a tensor on meta", data=[(INPUTS.to("meta"), TARGETS)])


def test_blocks_and_weights():
    with pytest.raises(ValueError, match="examples_per_block must be at least 1; got 0"):
        Plan(examples_per_block=0)
    with pytest.raises(ValueError, match=r"mode must be one of feedforward, .*; got 'fast'"):
        Plan("fast")
    refuse(
        "allow the modes forward-over-reverse, reverse.*; got plan.mode='feedforward'",
        plan=Plan("feedforward"),
        forward=lambda model, batch: (model(batch[0]), batch[1]),
    )
    refuse("num_examples must add up to more than zero over data; got 0", num_examples=lambda b: 0, split_batches=False)


def test_vectors_of_another_shape_or_dtype():
    operator = hessian_operator(linear(), F.cross_entropy, DATA)
    with pytest.raises(ValueError, match=r"V must have shape \(8, P\); got \(7, 2\)"):
        operator @ torch.zeros(7, 2)
    with pytest.raises(ValueError, match=r"v must have shape \(8,\); got \(8, 2\)"):
        operator.matvec(torch.zeros(8, 2))
    with pytest.raises(
        ValueError, match=r"V must be torch.float32 on cpu, as the operator is; got torch.float64 on cpu"
    ):
        operator @ torch.zeros(8, dtype=torch.float64)
