"""The README's example runs and prints what the README says, except last digits."""

from pathlib import Path

import matplotlib as mpl
from printed import run_blocks

mpl.use("Agg")

README = Path(__file__).resolve().parents[2] / "README.md"


def test_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_blocks(README) == 1
    for picture in ("density.png", "my_density.png"):
        assert (tmp_path / picture).stat().st_size > 1000
