"""Processes join, are missed when one is lost, and resume."""

import re
import socket
import time

import pytest
from ranks import LOSS, RANKS, batches, found_by_ranks, launch, network

from hessdens import distributed, hessian_operator
from hessdens.errors import RankError

TIMEOUT = 10.0


def test_lost_ranks_end_the_others_and_the_run_resumes(tmp_path):
    """One is killed, then one hangs; what the others say, how long they wait, and the numbers after both."""
    for check, victim, passes in (("killed", 2, 9), ("hung", 1, 9)):
        launch(check, tmp_path, VICTIM=str(victim), PASSES=str(passes), TIMEOUT=str(TIMEOUT))
        found = found_by_ranks(tmp_path)
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
    result = launch("resumed", tmp_path)
    assert result.returncode == 0, result.stderr[-5000:]
    for rank in found_by_ranks(tmp_path):
        assert rank["resumed"] == rank["fresh"]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("grid", r"ValueError: share_examples takes one dimension of a device mesh; got 2. Choose one, mesh\['ex"),
        ("timeout", "ValueError: timeout must be positive; got 0."),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named_on_every_rank(together, case, message):
    for rank in together:
        assert re.match(message, rank["errors"][case])


@pytest.mark.parametrize("name", ["RANK", "MASTER_ADDR"])
def test_a_missing_launcher_is_named(monkeypatch, name):
    for other in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(other, "1")
    monkeypatch.delenv(name)
    with pytest.raises(
        RankError, match=rf"start needs the environment of a launcher; it lacks {name}\. Start .*torchrun"
    ):
        distributed.start()


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("RANK", "x", "from 0 to 1 in the environment; got 'x'"),
        ("RANK", "-1", "from 0 to 1 in the environment; got '-1'"),
        ("RANK", "2", "from 0 to 1 in the environment; got '2'"),
        ("RANK", "9" * 5000, "from 0 to 1 in the environment; got '9+'"),
        ("WORLD_SIZE", "0", "at least 1 in the environment; got '0'"),
        ("WORLD_SIZE", "", "at least 1 in the environment; got ''"),
        ("LOCAL_RANK", "1.5", "(at least 0|from 0 to .) in the environment; got '1.5'"),
        ("MASTER_PORT", "70000", "from 0 to 65535 in the environment; got '70000'"),
    ],
)
def test_numbers_of_a_launcher_are_checked(monkeypatch, name, value, rule):
    settings = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for other, usual in (settings | {name: value}).items():
        monkeypatch.setenv(other, usual)
    with pytest.raises(RankError, match=rf"{name} must be a whole number {rule}. Start the script with `torchrun"):
        distributed.start(timeout=3)


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
    assert time.monotonic() - start < 14  # twice 9 and a pause that torch adds


def test_processes_must_have_been_joined():
    H = hessian_operator(network(), LOSS, batches())
    for call in (
        lambda: distributed.share_examples(H),
        lambda: distributed.share_probes(H),
        lambda: distributed.part([1]),
    ):
        with pytest.raises(RankError, match=r"needs several processes; torch.distributed is not initialised. Start"):
            call()
