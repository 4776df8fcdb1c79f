"""A model, its loss and its data: weights, blocks, other batches than pairs."""

import pytest
import torch
from curvature_cases import DATA, batches, dense, linear, normal, refuse, relative_error
from naive import flat_gradient, hessian_by_differences
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, hessian_operator
from hessdens.curvature.problem import Problem


def test_single_example_batches():
    model, inputs, targets = nn.Linear(3, 2).double(), normal(5, 3), normal(5, 2, seed=1)
    one = hessian_operator(model, nn.MSELoss(), batches(inputs, targets, (1,) * 5))
    assert relative_error(dense(one), dense(hessian_operator(model, nn.MSELoss(), [(inputs, targets)]))) < 1e-14


@pytest.mark.parametrize("name", ["forward", "num_examples", "loss_fn", "plan"])
def test_arguments_of_another_kind_are_named(name):
    kind = "a Plan" if name == "plan" else "callable"
    refuse(rf"{name} must be {kind}; got int\.", **{name: 5}, error=TypeError)


def test_forward_adapts_dictionaries_and_num_examples_weighs_tokens():
    """Masked tokens: the mean over all unmasked ones, not the mean of the batches' means."""
    model = nn.Linear(3, 4).double()
    tokens, labels = normal(10, 6, 3), torch.arange(60).reshape(10, 6) % 4
    labels[:, 4:] = -100
    labels[7:, 1:] = -100

    def forward(model, batch):
        return model(batch["tokens"]).flatten(0, 1), batch["labels"].flatten()

    data = [{"tokens": tokens[:7], "labels": labels[:7]}, {"tokens": tokens[7:], "labels": labels[7:]}]
    operator = hessian_operator(
        model,
        nn.CrossEntropyLoss(),
        data,
        forward=forward,
        num_examples=lambda batch: int((batch["labels"] >= 0).sum()),
        plan=Plan(examples_per_block=2),
    )
    kept = labels.flatten() >= 0
    assert operator.total_weight == kept.sum(), "before any product"
    reference = hessian_operator(model, nn.CrossEntropyLoss(), [(tokens.flatten(0, 1)[kept], labels.flatten()[kept])])
    assert relative_error(dense(operator), dense(reference)) < 1e-13


def test_split_batches_off_takes_a_loss_that_is_no_mean_over_examples():
    """Class weights: the batch's loss is taken as it is, and batches are averaged by number of examples."""
    model, inputs, targets = nn.Linear(3, 2).double(), normal(12, 3), torch.arange(12) % 2
    loss_fn = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0], dtype=torch.float64))
    data = batches(inputs, targets, (8, 4))
    options = {"split_batches": False, "num_examples": lambda batch: len(batch[0])}
    operator = hessian_operator(model, loss_fn, data, plan=Plan(examples_per_block=1), **options)
    parts = [dense(hessian_operator(model, loss_fn, [batch], **options)) for batch in data]
    assert relative_error(dense(operator), (8 * parts[0] + 4 * parts[1]) / 12) < 1e-14


def test_batch_norm_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()
    model(normal(50, 4, seed=4))
    model.eval()
    inputs, targets = normal(37, 4), torch.arange(37) % 3
    operator = hessian_operator(model, nn.CrossEntropyLoss(), batches(inputs, targets))
    gradient = flat_gradient(model, nn.CrossEntropyLoss(), inputs, targets)
    point = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    assert relative_error(dense(operator), hessian_by_differences(gradient, point.numpy(), 1e-3)) < 1e-9


def test_batch_without_tensors():
    refuse("A batch must hold a tensor whose first dimension counts", data=[(3.0, 4.0)])


def test_blocks_are_of_nearly_equal_size():
    problem = Problem.of(linear(), F.cross_entropy, DATA)
    batch = (torch.zeros(7, 3), torch.zeros(7))
    assert [len(x) for x, _ in problem.blocks(batch, 3)] == [2, 2, 3]
    assert problem.blocks(batch, None)[0] is batch
    assert problem.largest_block == 5
    assert len(problem.first(2)[0]) == 2
    whole = Problem.of(linear(), F.cross_entropy, DATA, split_batches=False)
    assert whole.blocks(batch, 3)[0] is batch
    assert whole.largest_block == 1
    assert whole.first(2) is DATA[0]


def test_sizes_of_blocks_may_change_on_the_way():
    problem = Problem.of(linear(), F.cross_entropy, DATA)
    batch = (torch.arange(20.0).view(20, 1).expand(20, 3), torch.zeros(20))
    sizes = iter([8, 8, 3, 3, 100])
    blocks = [x[:, 0].int().tolist() for x, _ in problem.cut(batch, lambda: next(sizes))]
    assert [len(block) for block in blocks] == [6, 7, 2, 2, 3], "of thirds, and then of what is left"
    assert [example for block in blocks for example in block] == [*range(20)]
    assert [len(x) for x, _ in problem.cut((torch.zeros(0, 3), torch.zeros(0)), lambda: 5)] == [0]


@pytest.mark.parametrize("weight", [None, -1, float("nan"), "many"])
def test_weights_that_are_no_numbers(weight):
    refuse(r"num_examples\(batch\) must be a number of at least 0; got .* for the", num_examples=lambda batch: weight)
