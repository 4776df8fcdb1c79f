"""What is sent is what was planned, in collective operations and in bytes."""

import contextlib
import io
import re
import sys
from pathlib import Path

import pytest
from ranks import F64

from hessdens.distributed.traffic import Traffic, examples_traffic, probes_traffic, sharded_traffic


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


def test_traffic_by_hand():
    assert examples_traffic(100, 3, 4, dtype=F64).collectives == (("all-gather", 40, 1), ("all-reduce", 2400, 1))
    assert probes_traffic(100, 3, 2).collectives == (("all-gather", 40, 1), ("all-gather", 800, 1))
    traffic = Traffic(4, (("all-reduce", 400, 1), ("all-gather", 100, 2), ("reduce-scatter", 40, 3)))
    assert traffic.bytes_sent == 600 + 600 + 90
    assert traffic.messages == 6 + 6 + 9
    assert traffic.bytes_given == 400 + 200 + 120
    assert str(traffic) == "6 collective operations of 4 ranks: each sends 1,290 bytes in 21 messages"
    plan = sharded_traffic([10, 20], 2, 4, num_batches=3)
    assert plan.bytes_given == 8 * 3 + 24 * 2 + 64 * 2 + 16 + 24 * (2 * 120 + 4 * 120)
    assert examples_traffic(100, 3, 1).bytes_sent == 0
    with pytest.raises(ValueError, match=r"num_ranks must be at least 1; got 0\."):
        probes_traffic(100, 3, 0)


def test_the_plans_of_the_page_are_counted():
    page = (Path(__file__).parents[2] / "docs/guide/many_processes.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    names = {}
    for code, expected in blocks:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(code, names)
        assert output.getvalue() == expected
