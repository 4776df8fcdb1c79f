"""Operators of some of the examples: made once, and levels that can be."""

import pytest
import torch
from torch import nn

from hessdens import hessian_operator
from hessdens.multilevel.examples import Examples, num_classes

NET = nn.Linear(2, 10)


def operator(labels, num=60):
    x = torch.randn(num, 2, generator=torch.Generator().manual_seed(0))
    return hessian_operator(NET, nn.CrossEntropyLoss(), [(x, labels)])


LABELS = torch.arange(60) % 10
H = operator(LABELS)


def test_operators_are_made_once_and_that_of_all_is_the_users():
    examples = Examples(H, seed=0)
    assert examples.total == 60
    assert examples.operator(60) is H
    assert examples.operator(20) is examples.operator(20)
    examples.operator(20) @ torch.ones(H.size)
    assert examples.operator(20).total_weight == 20


def test_examples_are_counted_once():
    reads = []

    class Data:
        def __iter__(self):
            reads.append(1)
            return iter([(torch.ones(60, 2), LABELS)])

    operator = hessian_operator(NET, nn.CrossEntropyLoss(), Data())
    examples, before = Examples(operator, seed=0), len(reads)
    for count in (10, 20, 30):
        examples.operator(count)
    assert len(reads) - before == 3


def test_levels_end_with_all():
    examples = Examples(H, seed=0)
    assert examples.levels([20, 40]) == examples.levels([20, 40, 60]) == (20, 40, 60)
    for wrong in ([], [60], [40, 20], [20, 61]):
        with pytest.raises(ValueError, match=r"num_examples must ascend, to fewer than the 60 of the data; got \["):
            examples.levels(wrong)
    with pytest.raises(ValueError, match="num_examples must be at least 2; got 1"):
        examples.levels([1, 30])


def test_levels_of_fewer_examples_than_classes_are_said():
    with pytest.warns(UserWarning, match=r"Levels of 5 examples are fewer than the 10 classes .* Take 20 or more"):
        Examples(H, seed=0).levels([5])
    assert num_classes(H) == 10
    assert num_classes(hessian_operator(nn.Linear(2, 1), nn.MSELoss(), [(torch.ones(4, 2), torch.ones(4, 1))])) == 0


def test_operators_without_data_are_refused():
    with pytest.raises(TypeError, match=r"H must have data .* Scale or shift the result instead"):
        Examples(2 * H, seed=0)
