"""Code blocks of the documentation run, and print what it says except last digits."""

from pathlib import Path

import matplotlib as mpl
import pytest
from printed import BLOCK, assert_same_except_last_digits, run_blocks

mpl.use("Agg")

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Pages whose blocks need more than a namespace have tests of their own.
ELSEWHERE = {"guide/command_line.md": "test_command_line_docs.py", "guide/training_runs.md": "test_monitor_page.py"}
MADE = {"_build", "_generated", "examples"}
PAGES = sorted(
    name
    for page in DOCS.rglob("*.md")
    if not MADE & set(page.parts) and BLOCK.search(page.read_text())
    if (name := page.relative_to(DOCS).as_posix()) not in ELSEWHERE
)


@pytest.mark.parametrize("page", PAGES)
def test_code_blocks(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = sum(bool(output) for _, output in BLOCK.findall((DOCS / page).read_text()))
    assert run_blocks(DOCS / page) == expected


def test_pages_with_code_are_found():
    assert {"guide/tutorial.md", "guide/own_model.md", "guide/many_processes.md", "start/five_minutes.md"} <= set(PAGES)
    assert all(Path(__file__).with_name(name).exists() for name in ELSEWHERE.values())


PRINTED = """\
Moments of 1,210 eigenvalues from 6 probes
  m_1 =  1.6355e-02 ± 8.2e-05
  defects: symmetry 4e-15, orthogonality 1e-16 (threshold 2e-13)
  cost: 50 products, 0.499 s (hessdens 0.1.0, torch 2.13.0+cpu)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1.6355e-02", "1.6402e-02"),  # last digits
        ("symmetry 4e-15", "symmetry 0e+00"),  # rounding
        ("0.499 s", "12.1 s"),
        ("torch 2.13.0+cpu", "torch 2.14.1+cu130"),
    ],
)
def test_comparison_passes_over_what_machines_decide(old, new):
    assert_same_except_last_digits(PRINTED.replace(old, new), PRINTED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1.6355e-02", "6e-02"),
        ("1.6355e-02", "0"),
        ("8.2e-05", "9.2e-05"),
        ("6 probes", "7 probes"),
        ("m_1", "m_2"),
        ("Moments", "Mean"),
        ("  defects: symmetry 4e-15, orthogonality 1e-16 (threshold 2e-13)\n", "  WARNING: not symmetric\n"),
    ],
)
def test_comparison_sees_other_words_and_numbers(old, new):
    with pytest.raises(AssertionError):
        assert_same_except_last_digits(PRINTED.replace(old, new), PRINTED)
