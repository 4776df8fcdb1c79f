"""Code blocks of a page, run as they stand; what they print is compared with the page, except last digits."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = re.compile(r"```python\n(.*?)```(?:\s*\n```text\n(.*?)```)?", re.DOTALL)
# Lines that differ between machines: times and versions, and defects, which are rounding, as splits of products are
# where Lanczos has converged. In text, then in JSON.
MACHINE = re.compile(
    r"^  cost: .* products, .* s \(hessdens .*$"
    r"|^  [\d,]+ deflated dimensions, .*$"
    r"|^  defects: .* \(threshold .*\)$"
    r'|^ *"(?:seconds|versions|hessdens)": .*$',
    re.MULTILINE,
)
# Last digits depend on the order of sums, so on the processor.
RELATIVE_TOLERANCE = 0.05


def run_blocks(page: Path) -> int:
    """Run all Python blocks of a page in one namespace, in the current folder; return how many outputs were compared.

    A ``text`` block that follows at once is the expected output.
    """
    namespace: dict[str, Any] = {}
    compared = 0
    for code, expected in BLOCK.findall(page.read_text()):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, str(page), "exec"), namespace)
        if expected:
            assert_same_except_last_digits(output.getvalue(), expected)
            compared += 1
    return compared


def assert_same_except_last_digits(printed: str, expected: str) -> None:
    """Compare words exactly and numbers to 5% of each, also of small ones. Lines of ``MACHINE`` are left out."""
    printed, expected = MACHINE.sub("", printed), MACHINE.sub("", expected)
    assert _words(printed) == _words(expected)
    np.testing.assert_allclose(_numbers(printed), _numbers(expected), rtol=RELATIVE_TOLERANCE, atol=0)


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[^A-Za-z_]+", text) if len(word) > 1]


def _numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]\d+)?", text)]
