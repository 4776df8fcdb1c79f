"""Probes: each from a stream of its own, whatever the block, the chunk, the shard or the precision."""

import numpy as np
import pytest
import torch

from hessdens import as_operator
from hessdens.linalg.operator import FunctionOperator
from hessdens.linalg.probes import check_probe_arguments, operator_probes
from hessdens.linalg.team import ALONE, Team

F64 = torch.float64


def identity(size, dtype=F64, team=ALONE):
    return FunctionOperator(torch.clone, size=size, dtype=dtype, device=torch.device("cpu"), team=team)


class Half(Team):
    """One of two processes."""

    is_sharded = True

    def __init__(self, rows):
        self.held = rows

    def rows(self, size):
        return self.held


@pytest.mark.parametrize("distribution", ["gaussian", "rademacher"])
def test_shards_of_probes_are_those_of_whole_ones(monkeypatch, distribution):
    whole = operator_probes(identity(100), 3, 5, 8, distribution)
    monkeypatch.setattr("hessdens.linalg.probes.PROBE_CHUNK", 16)
    assert torch.equal(operator_probes(identity(100), 3, 5, 8, distribution), whole)
    for rows in ([slice(0, 3), slice(15, 17), slice(17, 60)], [slice(16, 32)], [slice(99, 100)], [slice(7, 7)], []):
        expected = torch.cat([whole[part] for part in rows] or [whole[:0]])
        sharded = identity(100, team=Half(rows))
        assert torch.equal(operator_probes(sharded, 3, 5, 8, distribution), expected)


@pytest.mark.parametrize("chunk", [8, 2**20])
def test_each_probe_has_the_stream_of_its_number(monkeypatch, chunk):
    monkeypatch.setattr("hessdens.linalg.probes.PROBE_CHUNK", chunk)
    operator = identity(20, torch.float32)
    streams = [np.random.default_rng(np.random.SeedSequence(7, spawn_key=(i,))) for i in (2, 3, 4)]
    expected = np.array([stream.standard_normal(20) for stream in streams]).T
    np.testing.assert_array_equal(operator_probes(operator, 7, 2, 5, "gaussian"), expected.astype(np.float32))
    signs = operator_probes(operator, 7, 0, 400, "rademacher")
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(signs.mean())) < 4 / np.sqrt(8000)


def test_probes_of_an_operator_and_what_processes_compare():
    facts = []

    class Comparing(Team):
        def check_same(self, received):
            facts.append(received)

    operator = as_operator(np.eye(4), dtype=torch.float32)
    operator.team = Comparing()
    probes = operator_probes(operator, 3, 1, 3, "gaussian")
    assert (probes.shape, probes.dtype) == ((4, 2), torch.float32)
    assert facts == [{"seed": 3, "first probe": 1, "last probe": 2, "distribution": "gaussian"}]


def test_arguments():
    check_probe_arguments(2, 0, "rademacher")
    with pytest.raises(ValueError, match="num_probes must be at least 2, for a standard error; got 1"):
        check_probe_arguments(1, 0, "gaussian")
    with pytest.raises(ValueError, match="seed must be a non-negative integer; got -1"):
        check_probe_arguments(2, -1, "gaussian")
    with pytest.raises(ValueError, match=r"distribution must be one of .*; got 'uniform'"):
        check_probe_arguments(2, 0, "uniform")
