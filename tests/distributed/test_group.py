"""Processes that work together give the results of one, say what differs between them, and end when one is lost.

Everything that needs processes is in `ranks.py`; a launch takes seconds, so that one makes all checks that end well.
"""

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from ranks import LOSS, PLAN, answers, answers_of_shift, batches, network

from hessdens import as_operator, distributed, hessian_operator
from hessdens.distributed import RankError, Traffic, examples_traffic, probes_traffic, sharded_traffic
from hessdens.linalg.inner_products import thin_qr
from hessdens.linalg.operator import FunctionOperator
from hessdens.linalg.probes import probe_block
from hessdens.linalg.team import Team

RANKS = 4
F64 = torch.float64
TIMEOUT = 10.0


def launch(check, folder, **environment):
    """Return what each process found, None of those that have died, and what they printed."""
    for old in folder.glob("rank-*.json"):
        old.unlink()
    result = subprocess.run(
        [sys.executable, "-W", "ignore", Path(__file__).parents[1] / "ranks.py", check, str(RANKS), folder],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    paths = [folder / f"rank-{rank}.json" for rank in range(RANKS)]
    return [json.loads(path.read_text()) if path.exists() else None for path in paths], result


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    found, result = launch("together", tmp_path_factory.mktemp("together"))
    assert result.returncode == 0, result.stderr[-5000:]
    return found


@pytest.fixture(scope="module")
def alone():
    return answers(hessian_operator(network(), LOSS, batches(), plan=PLAN))


def assert_close(found, expected, rtol):
    """Compare relative to the largest entry of each answer."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=rtol * scale, err_msg=name)


@pytest.mark.parametrize("way", ["examples", "probes", "examples of half", "probes of half", "both"])
def test_every_estimator_gives_the_result_of_one_process(together, alone, way):
    results = [rank["results"][way] for rank in together]
    assert all(result == results[0] for result in results)
    assert_close(results[0], alone, 1e-12)


def test_sums_of_shared_operators(together):
    alone = answers_of_shift(hessian_operator(network(), LOSS, batches()))
    np.testing.assert_allclose(together[0]["results"]["shifted"], alone, rtol=1e-12)


def test_parts_are_uneven_and_cover_all(together):
    assert [rank["results"]["own examples"] for rank in together] == [5.0, 7.0, 8.0, 9.0]


def test_sharded_models_give_the_result_of_one_process(together, alone):
    """Products are differences of gradients; the error that is measured bounds theirs."""
    results = [rank["sharded"] for rank in together]
    alone = {name: value for name, value in alone.items() if name in results[0]["answers"]}
    for result in results:
        assert result["answers"] == results[0]["answers"]
        assert 0 < result["product error"] < 1e-5
        assert_close(result["answers"], alone, 1e-9)
    assert sum(result["rows"] for result in results) == 5 * 7 + 7 + 7 * 3 + 3
    assert max(result["rows"] for result in results) <= 20
    assert [result["steps"] for result in results] == [2] * RANKS
    assert [result["weight"] for result in results] == [29.0] * RANKS


def test_sharded_models_stay_as_they_were(together):
    for rank in together:
        assert rank["sharded"]["restored"]
        assert rank["sharded"]["gradients"] == [True, False, False, False]
        assert rank["sharded"]["same gradient"]


def test_sharded_runs_resume_where_all_ranks_have_a_block(together):
    for rank in together:
        assert rank["sharded"]["resumed"] == [True, [f"rank-{r}-of-{RANKS}" for r in range(RANKS)]]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("exact", "ValueError: exact_spectrum needs whole vectors; .* sharded over processes. Use lanczos_density."),
        ("layers", "TypeError: layer_moments needs an operator that knows its parameters"),
        ("scipy", "TypeError: SciPy takes whole vectors"),
        ("probes", "ValueError: share_probes needs whole vectors"),
        ("seeds", "RankError: All ranks must have the same arguments; seed is 0 on ranks 0, 1 and 1 on ranks 2, 3"),
        ("equal data", "RankError: Ranks must have data of their own; ranks 0, 1, 2, 3 have the same."),
        ("plain", r"ValueError: sharded_operator needs parameters sharded by fully_shard; '0.weight' is a plain"),
        ("pointer", "ValueError: The parameters must be whole tensors; '0.weight' .*hessdens.distributed.shard"),
        ("sum", "ValueError: loss_fn must return the mean over the examples"),
        ("scalar", r"ValueError: The loss must be a scalar, the mean over a batch; got shape \(\d,\)\."),
        ("random", r"ValueError: The loss must not be random; got [\d.]+ and then [\d.]+\."),
        ("constant", "ValueError: The loss must depend on the parameters; it depends on none of them."),
        ("infinite", "NonFiniteError: The loss and its gradient must be finite; the loss of batch 0 is inf."),
        ("no function", "TypeError: loss_fn must be callable; got int."),
        ("half", "ValueError: Differences of gradients need parameters in float32 or float64; '0.weight' is torch.b"),
        ("grid", "ValueError: sharded_operator needs parameters sharded along their first dimension, over a mesh"),
        ("counts", "RankError: All ranks must have as many vectors in a product; they have from 1 to 2."),
        ("weights", r"ValueError: num_examples must add up to more than zero over data; got 0\."),
    ],
)  # fmt: skip
def test_sharded_models_refuse(together, case, message):
    for rank in together:
        assert re.match(message, rank["sharded"][case])


def test_a_rank_without_data_is_named(together):
    said = [rank["sharded"]["empty"] for rank in together]
    assert said[2] == "ValueError: data must hold at least one batch; got none."
    assert {said[0], said[1], said[3]} == {
        "RankError: Ranks stop together; rank 2 failed with ValueError: data must hold at least one batch; got none."
    }


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("models", r"RankError: All ranks must have the same model and loss; parameters is [-\d.]+ on ranks 0, 1, 2 "
                   r"and [-\d.]+ on rank 3. Load the same weights on all ranks"),
        ("losses", "RankError: All .*; loss is 'multi_margin_loss' on rank 0 and 'cross_entropy' on ranks 1, 2, 3"),
        ("equal data", "RankError: Ranks must have data of their own; ranks 0, 2 and ranks 1, 3 have the"),
        ("allowed", "no error"),
        ("other data", "RankError: All ranks must have the same operator; batches is 4 on ranks 0, 1, 3 and 3 on rank "
                       "2. Give all ranks the same data, or use share_examples. data is"),
        ("matrices", r"RankError: All ranks must have the same operator; a product is [\d.]+ on rank 0 and [\d.]+"),
        ("seeds", "RankError: All ranks must have the same arguments; seed is 1 on rank 0 and 0 on ranks 1, 2, 3"),
        ("vectors", r"RankError: All ranks must have the same vectors and model in a product; vectors is [\d.]+ on "
                    r"ranks 0, 1 and [\d.]+ on ranks 2, 3. Give all ranks the same seed."),
        ("counts", "RankError: All .*; number of vectors is 2 on ranks 0, 2, 3 and 3 on rank 1. Call the same"),
        ("part", "ValueError: data must have an item for each of the 4 ranks; got 3. Make smaller batches"),
        ("kind of data", r"TypeError: data must be a sequence of batches or a dataset with a length; got set. "),
        ("no weights", "TypeError: share_examples needs an operator that knows its number of examples"),
        ("grid", r"ValueError: share_examples takes one dimension of a device mesh; got 2. Choose one, mesh\['ex"),
        ("timeout", "ValueError: timeout must be positive; got 0."),
        ("drift", r"RankError: All .* in a product; parameters is [-\d.]+ on ranks 0, 1, 3 and [-\d.]+ on rank 2"),
    ],
)  # fmt: skip
def test_mismatches_are_named_on_every_rank(together, case, message):
    for rank in together:
        assert re.match(message, rank["errors"][case])


@pytest.mark.parametrize("case", ["failure", "failure in a grid"])
def test_an_error_of_one_rank_is_an_error_of_all(together, case):
    said = [rank["errors"][case] for rank in together]
    cause = "ValueError: data must give the same batches in every pass; batch 0 differs"
    assert said[1].startswith(cause)
    assert said[0].startswith(f"RankError: Ranks stop together; rank 1 failed with {cause}")
    assert all(re.match("RankError: Ranks stop together; rank . failed with ", line) for line in said[2:])


@pytest.mark.parametrize("way", ["examples", "probes", "sharded"])
def test_traffic_is_what_was_planned(together, way):
    for rank in together:
        planned, found = rank["traffic"][way]
        assert found["seen"] == planned["seen"]


@pytest.mark.skipif(sys.platform != "linux", reason="bytes of a connection are read from Linux' tcp_info")
@pytest.mark.parametrize("way", ["examples", "probes", "sharded"])
def test_bytes_on_the_wire_are_those_planned(together, way):
    """Headers of messages come on top."""
    for rank in together:
        planned, found = rank["traffic"][way]
        assert planned["wire"] < found["wire"] < 1.02 * planned["wire"]


def test_data_parallel_models_are_unwrapped(together, alone):
    H = hessian_operator(network(), LOSS, batches())
    expected = H.matvec(torch.ones(H.size, dtype=F64)).tolist()
    for rank in together:
        found = rank["data_parallel"]
        assert found["names"] == ["0.weight", "0.bias", "2.weight", "2.bias"]
        assert found["same"]
        assert "a hook ran" in found["hook"]  # so it would have been seen
        np.testing.assert_allclose(found["shared"], expected, rtol=0, atol=1e-14)


def test_lost_ranks_end_the_others_and_the_run_resumes(tmp_path):
    """One is killed, then one hangs; what the others say, how long they wait, and the numbers after both."""
    for check, victim, passes in (("killed", 2, 9), ("hung", 1, 9)):
        found, _ = launch(check, tmp_path, VICTIM=str(victim), PASSES=str(passes), TIMEOUT=str(TIMEOUT))
        assert found[victim] is None
        others = [rank for rank in found if rank is not None]
        assert len(others) == RANKS - 1
        for rank in others:
            assert re.match(
                r"RankError: Rank \d must hear from ranks .*; one of them has died, hangs or", rank["error"]
            )
            assert "start all ranks again" in rank["error"]
            assert rank["seconds"] < TIMEOUT + 10
    assert len(list((tmp_path / "kept").glob("probes-*.npz"))) >= 2
    found, result = launch("resumed", tmp_path)
    assert result.returncode == 0, result.stderr[-5000:]
    for rank in found:
        assert rank["resumed"] == rank["fresh"]


@pytest.mark.parametrize("name", ["RANK", "MASTER_ADDR"])
def test_a_missing_launcher_is_named(monkeypatch, name):
    for other in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(other, "1")
    monkeypatch.delenv(name)
    with pytest.raises(
        RankError, match=rf"start needs the environment of a launcher; it lacks {name}\. Start .*torchrun"
    ):
        distributed.start()


def test_ranks_that_never_come_are_missed_within_the_timeout(monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    settings = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    start = time.monotonic()
    with pytest.raises(RankError, match=r"Rank 1 must be joined by all 2 ranks within 9 s; one of them has died or"):
        distributed.start(timeout=9)
    assert time.monotonic() - start < 14  # twice 9 and a pause where torch waits by itself


def test_processes_must_have_been_joined():
    H = hessian_operator(network(), LOSS, batches())
    for call in (
        lambda: distributed.share_examples(H),
        lambda: distributed.share_probes(H),
        lambda: distributed.part([1]),
    ):
        with pytest.raises(RankError, match=r"needs several processes; torch.distributed is not initialised. Start"):
            call()


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


def test_traffic_by_hand():
    assert examples_traffic(100, 3, 4, dtype=F64).collectives == (("all-gather", 40, 1), ("all-reduce", 2400, 1))
    assert probes_traffic(100, 3, 2).collectives == (("all-gather", 40, 1), ("all-gather", 800, 1))
    traffic = Traffic(4, (("all-reduce", 400, 1), ("all-gather", 100, 2), ("reduce-scatter", 40, 3)))
    assert traffic.bytes_sent == 600 + 600 + 90
    assert traffic.messages == 6 + 6 + 9
    assert traffic.bytes_given == 400 + 200 + 120
    assert str(traffic) == "6 collective operations of 4 ranks: each sends 1,290 bytes in 21 messages"
    plan = sharded_traffic([10, 20], 2, 4, num_batches=3)
    assert plan.bytes_given == 8 * 7 + 16 + 24 * (2 * 120 + 4 * 120)
    assert examples_traffic(100, 3, 1).bytes_sent == 0
    with pytest.raises(ValueError, match=r"num_ranks must be at least 1; got 0\."):
        probes_traffic(100, 3, 0)


def test_the_plans_of_the_page_are_counted():
    page = (Path(__file__).parents[2] / "docs" / "distributed.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    names = {}
    for code, expected in blocks:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(code, names)
        assert output.getvalue() == expected
