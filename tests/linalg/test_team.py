"""What a team whose processes hold shards means for probes, sums and factorisations; one of two stands for both."""

import pytest
import torch

from hessdens import as_operator
from hessdens.linalg.inner_products import thin_qr
from hessdens.linalg.operator import FunctionOperator
from hessdens.linalg.probes import probe_block
from hessdens.linalg.team import Team

F64 = torch.float64


class Half(Team):
    """One of two processes, of which the other one's part is known."""

    shards = True

    def __init__(self, rows, other=None):
        self.held, self.other = rows, other

    def rows(self, size):
        return self.held

    def gather(self, part):
        return [part, torch.linalg.qr(self.other).R], 0


@pytest.mark.parametrize("distribution", ["gaussian", "rademacher"])
def test_shards_of_probes_are_those_of_whole_ones(monkeypatch, distribution):
    kind = {"distribution": distribution, "dtype": F64, "device": torch.device("cpu")}
    whole = probe_block(3, 5, 8, 100, **kind)
    monkeypatch.setattr("hessdens.linalg.probes.CHUNK", 16)
    assert torch.equal(probe_block(3, 5, 8, 100, **kind), whole)
    for rows in ([slice(0, 3), slice(15, 17), slice(17, 60)], [slice(16, 32)], [slice(99, 100)], [slice(7, 7)], []):
        expected = torch.cat([whole[part] for part in rows] or [whole[:0]])
        assert torch.equal(probe_block(3, 5, 8, 100, team=Half(rows), **kind), expected)


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


@pytest.mark.parametrize("rows", [1, 20])
def test_factorisation_of_parts_is_that_of_the_whole(rows):
    V = torch.randn(30, 4, dtype=F64, generator=torch.Generator().manual_seed(0))
    q, r = thin_qr(V[:rows], Half([slice(0, rows)], V[rows:]))
    torch.testing.assert_close(q @ r, V[:rows], rtol=0, atol=1e-13)
    torch.testing.assert_close(r.T @ r, V.T @ V, rtol=1e-13, atol=1e-13)
