"""Where shards lie in a vector, and parameters that are none."""

import re
from types import SimpleNamespace

import pytest
import torch

from hessdens.distributed.shards import Shard, rows_of


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("plain", r"ValueError: sharded_operator needs parameters sharded by fully_shard; '0.weight' is a plain"),
        ("half", "ValueError: Differences of gradients need parameters in float32 or float64; '0.weight' is torch.b"),
        ("grid", "ValueError: sharded_operator needs parameters sharded along their first dimension, over a mesh"),
    ],
)  # fmt: skip
def test_other_parameters_are_refused(together, case, message):
    for rank in together:
        assert re.match(message, rank["sharded"][case])


def test_rows_follow_one_another_in_the_order_of_parameters():
    """A process holds rows 2 and 3 of a (4, 3) matrix, none of a vector of 5, and all of one of 2."""
    held = [((4, 3), 2, 2), ((5,), 5, 0), ((2,), 0, 2)]
    shards = [
        Shard(torch.empty(shape), torch.empty(count, *shape[1:]), first_row=first) for shape, first, count in held
    ]
    assert rows_of(shards) == [slice(6, 12), slice(17, 17), slice(17, 19)]


def test_a_gradient_that_is_missing_is_zero():
    local = torch.ones(2, 3)
    assert torch.equal(Shard(SimpleNamespace(grad=None), local, 0).gradient(), torch.zeros(2, 3))
    whole = SimpleNamespace(grad=SimpleNamespace(to_local=lambda: 2 * local))
    assert torch.equal(Shard(whole, local, 0).gradient(), 2 * local)
