"""Code blocks of the documentation run, and print what it says but for last digits."""

from pathlib import Path

import matplotlib as mpl
import pytest
from printed import BLOCK, assert_same_but_for_last_digits, run_blocks

mpl.use("Agg")

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Pages whose blocks need more than a namespace have tests of their own.
ELSEWHERE = {"command_line.md": "test_command_line_docs.py", "monitor.md": "test_monitor_page.py"}
PAGES = sorted(page.name for page in DOCS.glob("*.md") if BLOCK.search(page.read_text()) and page.name not in ELSEWHERE)


@pytest.mark.parametrize("page", PAGES)
def test_code_blocks(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = sum(bool(output) for _, output in BLOCK.findall((DOCS / page).read_text()))
    assert run_blocks(DOCS / page) == expected


def test_pages_with_code_are_found():
    assert {"tutorial.md", "how_to.md", "testing.md", "distributed.md"} <= set(PAGES)
    assert all(Path(__file__).with_name(name).exists() for name in ELSEWHERE.values())


def test_comparison_sees_other_words_and_numbers():
    assert_same_but_for_last_digits("m_1 = 1.00", "m_1 = 1.01")
    with pytest.raises(AssertionError):
        assert_same_but_for_last_digits("m_1 = 1.0", "m_1 = 2.0")
    with pytest.raises(AssertionError):
        assert_same_but_for_last_digits("mean = 1.0", "median = 1.0")
