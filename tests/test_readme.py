"""The README's example runs and prints what the README says, but for last digits."""

import contextlib
import io
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

README = Path(__file__).resolve().parents[1] / "README.md"
# The line with time and versions, which differ from machine to machine.
COST = re.compile(r"^  \d+ products, .* s, hessdens .*$", re.MULTILINE)


def test_example(tmp_path, monkeypatch):
    code, expected = re.search(r"```python\n(.*?)```.*?```text\n(.*?)```", README.read_text(), re.DOTALL).groups()
    monkeypatch.chdir(tmp_path)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "density.png").stat().st_size > 1000

    def words(text):
        return [word for word in re.split(r"[^A-Za-z_]+", text) if len(word) > 1]

    def numbers(text):
        return [float(number.replace(",", "")) for number in re.findall(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]\d+)?", text)]

    printed, expected = (COST.sub("", text) for text in (output.getvalue(), expected))
    assert words(printed) == words(expected)
    np.testing.assert_allclose(numbers(printed), numbers(expected), rtol=0.05, atol=0.05)
