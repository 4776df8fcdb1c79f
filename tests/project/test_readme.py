"""The README's example runs and prints what the README says, but for last digits."""

import re
from pathlib import Path

import matplotlib as mpl
from printed import run_blocks

mpl.use("Agg")

README = Path(__file__).resolve().parents[2] / "README.md"
# The line with time and versions, which differ from machine to machine.
COST = re.compile(r"^  \d+ products, .* s, hessdens .*$", re.MULTILINE)


def test_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_blocks(README, without=COST) == 1
    for picture in ("density.png", "my_density.png"):
        assert (tmp_path / picture).stat().st_size > 1000
