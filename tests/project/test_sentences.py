"""Sentences of the pages that new users read are short, and turns that make a reader stop are gone."""

import statistics

import pytest
import sentences

ROOT = sentences.ROOT


@pytest.mark.parametrize("page", sentences.HELD)
def test_sentences_are_short(page):
    found = sentences.sentences((ROOT / page).read_text())
    assert len(found) > 5
    long = [" ".join(words) for words in found if len(words) > sentences.LONGEST]
    assert long == []
    assert statistics.median(map(len, found)) <= sentences.MEDIAN


@pytest.mark.parametrize("page", [page for page in sentences.pages() if page not in sentences.HELD])
def test_other_pages_have_no_long_sentence(page):
    found = sentences.sentences((ROOT / page).read_text())
    assert [" ".join(words) for words in found if len(words) > sentences.LONGEST] == []


def test_docstrings_have_no_long_sentence():
    found = {place: sentences.sentences(text) for place, text in sentences.docstrings()}
    assert len(found) > 500
    long = {place: words for place, each in found.items() for words in each if len(words) > sentences.LONGEST}
    assert long == {}


def test_no_turn_makes_a_reader_stop():
    assert list(sentences.turns()) == []


def test_code_tables_and_links_are_no_prose():
    page = """# Title

A first sentence with `code` in it. A [second](page.md) one:

- an item of a list that is short
- another; two parts.

| a table | is |
|---|---|

```python
print("Code is no prose. At all.")
```

$$ x = 1 $$
"""
    lengths = [len(words) for words in sentences.sentences(page)]
    assert lengths == [7, 3, 8, 3]


def test_a_long_sentence_is_found():
    (words,) = sentences.sentences("Words " * 41 + "end.")
    assert len(words) == 42 > sentences.LONGEST


def test_a_turn_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sentences, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "hessdens").mkdir()
    (tmp_path / "README.md").write_text("All but for one.\n")
    (tmp_path / "CONTRIBUTING.md").write_text("It takes two a probe.\n")
    assert [line.partition(":")[0] for line in sentences.turns()] == ["CONTRIBUTING.md", "README.md"]
