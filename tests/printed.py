"""Code blocks of a page, run as they stand; what they print is compared with the page but for last digits."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = re.compile(r"```python\n(.*?)```(?:\s*\n```text\n(.*?)```)?", re.DOTALL)


def run_blocks(page: Path, *, without: re.Pattern[str] | None = None) -> int:
    """Run all Python blocks of a page in one namespace, in the current folder; return how many outputs were compared.

    A ``text`` block that follows at once is the expected output. Lines that match ``without`` are left out.
    """
    namespace: dict[str, Any] = {}
    compared = 0
    for code, expected in BLOCK.findall(page.read_text()):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, str(page), "exec"), namespace)
        if expected:
            printed = output.getvalue()
            if without is not None:
                printed, expected = without.sub("", printed), without.sub("", expected)
            assert_same_but_for_last_digits(printed, expected)
            compared += 1
    return compared


def assert_same_but_for_last_digits(printed: str, expected: str) -> None:
    """Compare words exactly and numbers to 5%."""
    assert _words(printed) == _words(expected)
    np.testing.assert_allclose(_numbers(printed), _numbers(expected), rtol=0.05, atol=0.05)


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[^A-Za-z_]+", text) if len(word) > 1]


def _numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]\d+)?", text)]
