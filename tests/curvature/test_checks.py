"""Bad models, losses and data: each is refused with its own message."""

import argparse

import pytest
import torch
from curvature_cases import DATA, INPUTS, TARGETS, batches, linear, refuse
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import ggn_operator, hessian_operator


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_declared_reduction(reduction):
    refuse(f"must return the mean .*; its reduction is '{reduction}'", loss_fn=nn.CrossEntropyLoss(reduction=reduction))


@pytest.mark.parametrize("data", [DATA, [(INPUTS[:1], TARGETS[:1])]], ids=["batches", "one example"])
@pytest.mark.parametrize("split_batches", [True, False])
def test_undeclared_sum(data, split_batches):
    refuse(
        "must return the mean .*; the losses of the parts of a batch add up",
        loss_fn=lambda z, t: F.cross_entropy(z, t, reduction="sum"),
        data=data,
        split_batches=split_batches,
    )


def test_mean_with_other_weights():
    refuse(
        "do not give that of the whole. If it is a mean with other weights pass them, as num_examples=",
        loss_fn=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10.0])),
    )


def test_loss_that_is_not_a_scalar():
    refuse(r"The loss must be a scalar.*; got shape \(5,\)\. Take its \.mean\(\)", loss_fn=lambda z, t: z.sum(dim=1))
    refuse(r"The loss must be a scalar.*; got float\. Return a tensor, without \.item", loss_fn=lambda z, t: 1.0)


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


def test_batches_after_the_first():
    refuse("must have the model's dtype.*; got torch.float64 in batch 1", data=[DATA[0], (INPUTS.double(), TARGETS)])
    refuse("must be a pair .*; got tuple of 3 as batch 1", data=[DATA[0], (INPUTS, TARGETS, TARGETS)], error=TypeError)
    refuse("at least one example; batch 1 has none. Leave it out", data=[DATA[0], (INPUTS[:0], TARGETS[:0])])
    refuse("at least one example; the first batch has none", data=[(INPUTS[:0], TARGETS[:0])])


def test_kinds():
    refuse("model must be a torch.nn.Module; got function", model=lambda x: x, error=TypeError)
    refuse("got Tensor. Pass the model itself, not its outputs", model=torch.ones(1), error=TypeError)
    refuse("loss_fn must be callable; got NoneType", loss_fn=None, error=TypeError)
    refuse(r"got the class MSELoss. Write MSELoss\(\)", loss_fn=nn.MSELoss, error=TypeError)
    refuse(
        r"got a mapping with 'labels' as the first batch\. For models of transformers write .*from_transformers\(model",
        data=[{"input_ids": torch.ones(2), "labels": torch.ones(2)}],
        error=TypeError,
    )
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
        "must return the mean .*; the losses of the parts of a batch add up",
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
    message = r"must not depend on its batch; BatchNorm1d '1' has no running statistics .*GroupNorm"
    for mode in (False, True):  # model.eval() would not help
        refuse(message, model=model.train(mode))


def test_dropout_and_batch_norm_in_training_mode():
    dropout = nn.Sequential(linear(), nn.Dropout(0.5))
    refuse("must not be random; Dropout '1' is in training mode. Call model.eval", model=dropout)
    norm = nn.Sequential(linear(), nn.BatchNorm1d(2))
    refuse("must not depend on its batch; BatchNorm1d '1' is in training mode. Call model.eval", model=norm)
    hessian_operator(dropout.eval(), F.cross_entropy, DATA)
    hessian_operator(norm.eval(), F.cross_entropy, DATA)


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
    assert note.startswith(f"hessdens was computing the loss of batch 0: {given}. The ")


def test_loss_with_a_domain_has_a_gauss_newton_matrix():
    model = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())
    assert ggn_operator(model, nn.BCELoss(), [(INPUTS, TARGETS.float().unsqueeze(1))]).size == 4


@pytest.mark.parametrize(
    "options", [{}, {"num_examples": lambda batch: 1.0, "split_batches": False}], ids=["cut", "whole"]
)
@pytest.mark.parametrize("num_examples", [0, 5], ids=["in all batches", "in the second batch"])
def test_weights_changed_in_place_are_refused_and_kept(num_examples, options):
    class Clipped(nn.Linear):
        def forward(self, x):
            if len(x) != num_examples:
                self.weight.data.clamp_(-0.01, 0.01)
            return super().forward(x)

    model = Clipped(3, 2)
    before = model.weight.detach().clone()
    refuse("must not change weights in place; it changes 'weight'", model=model, **{"split_batches": False} | options)
    assert torch.equal(model.weight, before)


class Changing(nn.Linear):
    """Changes its inputs in place, if the last entry is large enough."""

    def __init__(self, change, least):
        super().__init__(3, 2)
        self.change, self.least = change, least

    def forward(self, x):
        if x[-1, -1] > self.least:
            self.change(x)
        return super().forward(x)


@pytest.mark.parametrize("lengths", [(5, 3), (1, 1, 1, 1, 1, 1, 1, 1)])
@pytest.mark.parametrize("least", [-2, 0.9], ids=["all batches", "the last batch"])
@pytest.mark.parametrize("options", [{}, {"num_examples": lambda batch: len(batch[0]), "split_batches": False}])
def test_batches_changed_in_place_are_refused_and_kept(lengths, least, options):
    """Also where it is the same the second time."""
    for change in (lambda x: x.clamp_(0, 0.1), lambda x: x.view(-1).div_(2)):
        data = [(x.clone(), y) for x, y in batches(INPUTS, TARGETS, lengths)]
        refuse("Model and loss must not change the batch in place; they change torch.float32",
               model=Changing(change, least), data=data, **options)  # fmt: skip
        assert torch.equal(torch.cat([x for x, _ in data]), INPUTS)


def test_forward_may_take_labels_out_of_a_batch_and_ask_for_gradients_in_it():
    expected = None
    for pops in (False, True):

        def forward(model, batch, pops=pops):
            labels = batch.pop("y") if pops else batch["y"]
            x = batch["x"].requires_grad_() if pops else batch["x"].detach().requires_grad_()
            with torch.enable_grad():
                (slope,) = torch.autograd.grad(model(x).sin().sum(), x, create_graph=True)
            if pops:
                batch["x"].grad = slope.detach()
            return slope, labels

        data = [{"x": x, "y": y} for x, y in DATA]
        operator = hessian_operator(linear(), F.cross_entropy, data, forward=forward)
        products = [operator @ torch.linspace(-1, 1, operator.size) for _ in range(2)]
        expected = products[0] if expected is None else expected
        for product in products:
            torch.testing.assert_close(product, expected)
    assert [list(batch) for batch in data] == [["x", "y"]] * 2
    assert not any(batch["x"].requires_grad or batch["x"].grad is not None for batch in data)


def test_batches_of_objects_and_targets_that_are_changed_in_place_are_refused():
    def forward(model, batch):
        batch.x.clamp_(0, 0.1)
        return model(batch.x), batch.y

    counted = {"num_examples": lambda batch: 8, "split_batches": False}
    refuse("must not change the batch in place; they change Namespace", model=linear(), forward=forward,
           data=[argparse.Namespace(x=INPUTS.clone(), y=TARGETS)], **counted)  # fmt: skip
    refuse("must not change the batch in place", loss_fn=lambda z, t: F.mse_loss(z, t.clamp_(0, 0.1)),
           data=[(INPUTS, INPUTS[:, :2].clone())])  # fmt: skip


def test_modules_that_change_weights_or_gradients_are_refused():
    data = [(torch.arange(8), TARGETS)]
    refuse(r"the model itself \(Embedding\) has max_norm", model=nn.Embedding(8, 2, max_norm=0.1), data=data)
    refuse(
        r"The gradient must be that of the loss; an embedding has scale_grad_by_freq\. Set it to False",
        model=nn.Embedding(8, 2, scale_grad_by_freq=True),
        data=data,
    )


def test_frozen_part_in_half_precision_takes_its_own_inputs():
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen = nn.Linear(3, 3).to(torch.bfloat16).requires_grad_(False)
            self.linear = linear()

        def forward(self, x):
            return self.linear(self.frozen(x).float())

    halves = [(x.to(torch.bfloat16), y) for x, y in DATA]
    assert hessian_operator(Head(), F.cross_entropy, halves).dtype == torch.float32


@pytest.mark.parametrize("make", [hessian_operator, ggn_operator])
def test_gradient_step_in_the_forward_pass(make):
    """As in meta-learning: the parameters of the checks have derivatives too."""

    def forward(model, batch):
        with torch.enable_grad():
            inner = F.cross_entropy(model(batch[0]), batch[1])
            step = torch.autograd.grad(inner, model.weight, create_graph=True)[0]
            return batch[0] @ (model.weight - step).T, batch[1]

    operator = make(linear(), F.cross_entropy, DATA, forward=forward, split_batches=False, num_examples=counted)
    assert operator.loss() > 0
    assert operator.parameter_names == ("weight", "bias")


def counted(batch):
    return len(batch[1])


def test_parameters_of_inference_mode_and_lazy_ones():
    with torch.inference_mode():
        made_inside = linear()
        refuse("cannot be taken in torch.inference_mode")
    refuse("nor of parameters made in it", model=made_inside)
    refuse(r"'weight' is lazy: run the model once on a batch", model=nn.LazyLinear(3))
    refuse(r"'0\.running_mean' is lazy: run", model=nn.Sequential(nn.LazyBatchNorm1d(affine=False), linear()).eval())
