"""Matrices on some of the examples: which ones, and the same matrix as an operator of these alone."""

import numpy as np
import pytest
import torch
from torch import nn

from hessdens import hessian_operator
from hessdens.curvature import fewer_examples, fisher_operator, ggn_operator
from hessdens.curvature.data.subsets import Subsets, drawn_places

NET = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))


def batches(sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(n, 3, generator=generator), torch.randint(3, (n,), generator=generator)) for n in sizes]


def dense(operator):
    return operator @ torch.eye(operator.size, dtype=operator.dtype)


def examples_of(operator):
    """Return the inputs that an operator has, in the order of a pass."""
    return torch.cat([x for x, _ in operator.problem.passes])


@pytest.mark.parametrize("factory", [hessian_operator, ggn_operator])
def test_the_matrix_is_that_of_the_examples_alone(factory):
    whole = factory(NET, nn.CrossEntropyLoss(), batches([7, 1, 12, 5]), weight_decay=0.1)
    few = fewer_examples(whole, 9, seed=3)
    own = list(few.problem.passes)
    assert few.total_weight != few.total_weight or few.total_weight == 9  # unknown before the first product
    torch.testing.assert_close(dense(few), dense(factory(NET, nn.CrossEntropyLoss(), own, weight_decay=0.1)))
    assert few.name == whole.name
    assert few.parameter_names == whole.parameter_names
    assert few.total_weight == 9
    # Neighbouring parts are joined, up to the largest batch.
    assert [len(x) for x, _ in own] == [9]


def test_subsets_of_a_seed_are_nested_and_of_another_differ():
    whole = hessian_operator(NET, nn.CrossEntropyLoss(), batches([10, 10, 3]))
    rows = {n: {tuple(row) for row in examples_of(fewer_examples(whole, n, seed=1)).tolist()} for n in (2, 8, 23)}
    assert rows[2] < rows[8] < rows[23]
    assert len(rows[23]) == 23
    assert rows[8] != {tuple(row) for row in examples_of(fewer_examples(whole, 8, seed=2)).tolist()}


def test_all_examples_are_the_whole_matrix():
    whole = hessian_operator(NET, nn.CrossEntropyLoss(), batches([10, 10, 3]))
    torch.testing.assert_close(dense(fewer_examples(whole, 23)), dense(whole))


def test_each_example_is_drawn_alike():
    """A draw that forgot the ends of batches, or took the first ones, would not."""
    counts = sum(np.bincount(drawn_places(20, 5, seed), minlength=20) for seed in range(400))
    assert counts.sum() == 2000
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100 * 0.75)
    data = [
        (torch.arange(10.0 * b, 10.0 * b + size)[:, None].expand(-1, 3), torch.zeros(size).long())
        for b, size in enumerate((10, 3, 7))
    ]
    whole = hessian_operator(NET, nn.CrossEntropyLoss(), data)
    places = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20, 21, 22, 23, 24, 25, 26]
    taken = examples_of(fewer_examples(whole, 6, seed=4))[:, 0]
    assert taken.tolist() == [places[i] for i in drawn_places(20, 6, 4)]


def test_batches_that_are_not_cut_are_taken_whole():
    data = batches([4, 6, 5])
    whole = hessian_operator(NET, nn.CrossEntropyLoss(), data, split_batches=False, num_examples=lambda b: len(b[1]))
    assert Subsets(whole).total == 3
    few = fewer_examples(whole, 2)
    sizes = sorted(len(y) for _, y in few.problem.passes)
    assert len(sizes) == 2
    assert set(sizes) < {4, 5, 6}
    one = hessian_operator(NET, nn.CrossEntropyLoss(), data[:1], split_batches=False)
    with pytest.raises(ValueError, match=r"one batch that is not to be cut .* several batches"):
        fewer_examples(one, 1)


def test_weights_and_labels_of_batches_go_with_their_examples():
    """Drawn labels of a Monte Carlo Fisher matrix stay those of the whole operator; weights may be 0."""
    whole = fisher_operator(NET, nn.CrossEntropyLoss(), batches([6, 6]), kind="monte-carlo", seed=1)
    halves = [dense(fewer_examples(whole, 12)), dense(whole)]
    torch.testing.assert_close(*halves)
    masked = [(x, torch.where(torch.arange(len(y)) < 5, y, -100)) for x, y in batches([6, 4])]
    H = hessian_operator(NET, nn.CrossEntropyLoss(), masked, num_examples=lambda b: int((b[1] != -100).sum()))
    few = fewer_examples(H, 7, seed=5)
    weights = sum(int((y != -100).sum()) for _, y in few.problem.passes)
    few @ torch.ones(few.size)
    assert few.total_weight == weights < 8


def test_bad_arguments():
    whole = hessian_operator(NET, nn.CrossEntropyLoss(), batches([4]))
    with pytest.raises(ValueError, match=r"num_examples must be at most the 4 of the data; got 5\."):
        fewer_examples(whole, 5)
    with pytest.raises(ValueError, match="num_examples must be at least 1; got 0"):
        fewer_examples(whole, 0)
    with pytest.raises(TypeError, match=r"num_examples must be a whole number; got 0.5 of type float\.$"):
        fewer_examples(whole, 0.5)
    with pytest.raises(ValueError, match="seed must be at least 0; got -1"):
        fewer_examples(whole, 2, seed=-1)
    with pytest.raises(TypeError, match=r"must have data .* Take fewer examples first"):
        fewer_examples(2 * whole, 2)
