"""Teams: one process alone, and one of two that hold shards."""

import pytest
import torch

from hessdens import as_operator
from hessdens.linalg.operator import FunctionOperator
from hessdens.linalg.team import ALONE, Team

F64 = torch.float64


class Half(Team):
    """One of two processes, of which the other one's part is known."""

    is_sharded = True

    def __init__(self, rows):
        self.held = rows

    def rows(self, size):
        return self.held


def test_sums_of_sharded_and_whole_operators_are_refused():
    kind = {"size": 3, "dtype": F64, "device": torch.device("cpu")}
    sharded = FunctionOperator(torch.clone, team=Half([slice(0, 2)]), **kind)
    assert (sharded + sharded.identity()).num_rows == 2
    with pytest.raises(
        ValueError, match=r"Operators in a sum must both be sharded over processes, or neither; got one"
    ):
        sharded + as_operator(torch.eye(3, dtype=F64))
    with pytest.raises(ValueError, match=r"V must have shape \(2, P\); got \(3, 1\)"):
        sharded.matmat(torch.ones(3, 1, dtype=F64))


def test_a_single_process_holds_and_decides_all():
    part = torch.ones(3)
    assert not ALONE.is_sharded
    assert ALONE.rows(7) == [slice(0, 7)]
    assert ALONE.sum(part) is part
    assert ALONE.gather(part) == ([part], 0)
    assert (ALONE.least(4), ALONE.shared(lambda: "answer"), ALONE.folder()) == (4, "answer", "")
    ALONE.check_same({"seed": 1})
