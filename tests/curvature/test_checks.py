"""Bad models, losses and data: each is refused with its own message."""

import itertools

import numpy as np
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
        spectral_moments(
            hessian_operator(model or linear(), loss_fn, data, **keywords), method="skilling", num_probes=2
        )


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
    refuse(
        r"must be a pair .*; got Tensor as the first batch. Pass \[\(inputs", data=(INPUTS, TARGETS), error=TypeError
    )
    refuse("must be an iterable of batches; got Tensor. Pass", data=INPUTS, error=TypeError)


def test_batch_that_is_no_pair():
    refuse(
        r"must be a pair \(inputs, targets\); got dict as .* or for other batches forward=",
        data=[{"x": INPUTS}],
        error=TypeError,
    )


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
    ("last", "found"),
    [
        (DATA[:1], "the first had 2, this one 1"),
        ([*DATA, DATA[0]], "batch 2 differs"),
        ([DATA[0], (INPUTS[5:] + 1, TARGETS[5:])], "batch 1 differs"),
        ([DATA[0], (INPUTS[5:].flip(-1), TARGETS[5:])], "batch 1 differs"),
        ([DATA[1], DATA[0]], "batch 0 differs"),
    ],
)
def test_data_that_change_from_pass_to_pass(last, found):
    """The first batch is looked at twice before the first product; the others are compared from the second on."""
    refuse(f"same batches in every pass; {found}", data=Changing(DATA, DATA, DATA, last))
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


class Images(torch.utils.data.Dataset):
    """Pictures that are mirrored at random, as in training."""

    def __len__(self):
        return 8

    def __getitem__(self, i):
        picture = torch.arange(12).remainder(7).reshape(3, 4).float() / 255 + i
        return (picture.flip(-1) if torch.rand(()) < 0.5 else picture).flatten()[:3], i % 2


def test_random_mirror_images():
    """A mirror image has the same entries, so that no sum over them would tell."""
    refuse("same batches in every pass; batch 0 differs", data=DataLoader(Images(), batch_size=8))


@pytest.mark.parametrize("change", [lambda i: np.full(3, float(i)), lambda i: i, lambda i: f"batch {i}"])
def test_changes_in_what_is_not_a_tensor(change):
    passes = itertools.count()

    class Data:
        def __iter__(self):
            return iter([{"x": INPUTS, "y": TARGETS, "more": change(next(passes))}])

    refuse(
        "same batches in every pass; batch 0 differs",
        data=Data(),
        forward=lambda model, batch: (model(batch["x"]), batch["y"]),
    )


def test_one_iterator_behind_an_iterable():
    class Data:
        batches = iter(DATA[:1])

        def __iter__(self):
            return self.batches

    refuse("data must be re-iterable.* got Data, which is used up", data=Data(), error=TypeError)


def test_batches_after_the_first():
    refuse("must have the model's dtype.*; got torch.float64 in batch 1", data=[DATA[0], (INPUTS.double(), TARGETS)])
    refuse("must be a pair .*; got tuple as batch 1", data=[DATA[0], (INPUTS, TARGETS, TARGETS)], error=TypeError)
    refuse("at least one example; batch 1 has none. Leave it out", data=[DATA[0], (INPUTS[:0], TARGETS[:0])])
    refuse("at least one example; the first batch has none", data=[(INPUTS[:0], TARGETS[:0])])


def test_model_that_changes_after_the_construction():
    model = nn.Sequential(linear(), nn.Dropout(0.5)).eval()
    operator = hessian_operator(model, F.cross_entropy, DATA)
    v = torch.ones(operator.size)
    model.train()
    with pytest.raises(ValueError, match="Dropout '1' is in training mode"):
        operator @ v
    model.eval().double()
    with pytest.raises(ValueError, match=r"must stay as it was .*; '0.weight' had .* Make a new operator"):
        operator @ v
    model[0] = nn.Identity()
    with pytest.raises(ValueError, match=r"must keep the parameters of the operator; '0.weight' is gone"):
        operator @ v


@pytest.mark.parametrize("mode", ["feedforward", "forward-over-reverse", "reverse-over-reverse"])
def test_parameters_that_are_replaced(mode):
    model = linear()
    operator = hessian_operator(model, F.cross_entropy, DATA, plan=Plan(mode))
    model.load_state_dict({name: 2 * value + 1 for name, value in model.state_dict().items()}, assign=True)
    model.weight.requires_grad_(), model.bias.requires_grad_()
    v = torch.linspace(-1, 1, operator.size)
    torch.testing.assert_close(operator @ v, hessian_operator(model, F.cross_entropy, DATA, plan=Plan(mode)) @ v)


def test_second_derivative_that_is_not_finite():
    model = nn.Linear(3, 1, bias=False)
    model.weight.data.zero_()
    refuse(
        "second derivative of the loss must be finite; that of batch 0 is not",
        model=model,
        loss_fn=lambda z, t: z.abs().pow(1.5).mean(),
        data=[(INPUTS, INPUTS[:, :1])],
    )


def test_kinds():
    refuse("model must be a torch.nn.Module; got function", model=lambda x: x, error=TypeError)
    refuse("loss_fn must be callable; got NoneType", loss_fn=None, error=TypeError)
    refuse(r"must return \(outputs, targets\); got Tensor", forward=lambda m, b: m(b[0]), error=TypeError)
    refuse("Targets must have the model's dtype, torch.float32; got torch.float64", loss_fn=nn.MSELoss(),
           data=[(INPUTS, INPUTS[:, :2].double())])  # fmt: skip


def test_frozen_parameters_of_another_dtype_do_not_count():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(2, dtype=torch.float64), requires_grad=False)
            self.linear = linear()

        def forward(self, x):
            return self.linear(x) + self.shift.float()

    assert hessian_operator(Shifted(), F.cross_entropy, DATA).dtype == torch.float32


def test_sum_with_weights_of_batches_that_are_not_split():
    refuse(
        "must return the mean .*; the losses of two halves of a batch add up",
        loss_fn=lambda z, t: F.cross_entropy(z, t, reduction="sum"),
        num_examples=lambda batch: len(batch[0]),
        split_batches=False,
    )


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.MultiheadAttention(3, 1, dropout=0.5), "MultiheadAttention"),
        (nn.LSTM(3, 3, num_layers=2, dropout=0.5), "LSTM"),
        (nn.RReLU(), "RReLU"),
    ],
)
def test_modules_that_are_random_in_training_mode(module, name):
    refuse(f"must not be random; {name} '1' is in training mode", model=nn.Sequential(linear(), module))


def test_batch_norm_without_running_statistics():
    model = nn.Sequential(linear(), nn.BatchNorm1d(2, track_running_stats=False)).eval()
    refuse("must not depend on its batch; BatchNorm1d '1' has no running statistics", model=model)


def test_noise_names_the_module():
    class Noise(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    refuse("must not be random; .*, from Noise '1' on", model=nn.Sequential(linear(), Noise(), nn.Tanh()))


def test_the_seed_of_a_device_that_is_not_in_use_yet():
    """Torch keeps the seed for a device that is not initialised yet in a queue."""
    model = linear()
    torch.manual_seed(123)
    before = list(torch.cuda._lazy_seed_tracker.get_calls())
    hessian_operator(model, F.cross_entropy, DATA)
    assert list(torch.cuda._lazy_seed_tracker.get_calls()) == before


def test_dropout_and_batch_norm_in_training_mode():
    dropout = nn.Sequential(linear(), nn.Dropout(0.5))
    refuse("must not be random; Dropout '1' is in training mode. Call model.eval", model=dropout)
    norm = nn.Sequential(linear(), nn.BatchNorm1d(2))
    refuse("must not depend on its batch; BatchNorm1d '1' is in training mode. Call model.eval", model=norm)
    hessian_operator(dropout.eval(), F.cross_entropy, DATA)
    hessian_operator(norm.eval(), F.cross_entropy, DATA)


def test_noise_in_the_forward_pass():
    refuse(
        "must not be random; the same batch gave .* outside of the model's modules",
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
    refuse(
        "at least one trainable parameter; the model has no parameters. Arguments are model, loss_fn and",
        model=nn.Flatten(),
    )
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


@pytest.mark.parametrize(
    ("model", "targets"),
    [
        (linear(), TARGETS.int()),
        (linear(), TARGETS + 100),
        (nn.Linear(4, 3), TARGETS),
        (nn.ModuleDict({"outputs": linear()}), TARGETS),
    ],
)
def test_torchs_own_errors_have_a_note_of_what_was_computed(model, targets):
    with pytest.raises((RuntimeError, IndexError, NotImplementedError)) as caught:
        hessian_operator(model, F.cross_entropy, [(INPUTS, targets)])
    given = f"torch.float32 {tuple(INPUTS.shape)}, {targets.dtype} ({len(targets)},)"
    (note,) = caught.value.__notes__
    assert note.startswith(f"hessdens was computing the loss of the first batch: {given}. The cross-entropy takes")


def test_note_of_another_loss_says_what_was_given_only():
    with pytest.raises(RuntimeError) as caught:
        hessian_operator(nn.Linear(4, 3), F.mse_loss, [(INPUTS, INPUTS)])
    given = f"torch.float32 {tuple(INPUTS.shape)}"
    assert caught.value.__notes__ == [f"hessdens was computing the loss of the first batch: {given}, {given}."]
