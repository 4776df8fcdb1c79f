"""Counts that are guaranteed: words, numbers, files, and what they cannot be."""

import dataclasses

import pytest

from hessdens.results import Certificates, CertifiedCounts
from hessdens.results.counts import SIDES

CERTIFICATES = Certificates(threshold=1e-13, num_products=200, seconds=1.5, versions="hessdens 1")
FACTS = {
    "size": 94_218,
    "window": 0.2,
    "level": 0.99,
    "num_products": 200,
    "num_deflated": 170,
    "num_probes": 6,
    "num_steps": 5,
    "error": 1e-9,
    "look": 1,
    "certificates": CERTIFICATES,
}
COUNTS = CertifiedCounts((9, 14), (94_100, 94_105), (104, 104), **FACTS)


def test_words():
    assert COUNTS.summary().splitlines() == [
        "Counts of 94,218 eigenvalues, certified at level 99% (window 0.2)",
        "  negative: 9 to 14 of 94,218",
        "  degenerate: 94,100 to 94,105 of 94,218",
        "  positive: 104 of 94,218",
    ]
    assert str(COUNTS).startswith(COUNTS.summary())
    assert "170 deflated dimensions, 6 probes, edges ± 1.0e-09" in str(COUNTS)
    few = dataclasses.replace(COUNTS, num_deflated=1, num_probes=1)
    assert "  1 deflated dimension, 1 probe, edges" in str(few)


def test_assumptions_name_the_error_that_is_allowed_for():
    symmetric, gaussian, errors = COUNTS.assumptions
    assert "symmetric" in symmetric
    assert "Gaussian" in gaussian
    assert "1.0e-09" in errors


def test_files_and_numbers(tmp_path):
    COUNTS.save(tmp_path / "c.npz")
    loaded = CertifiedCounts.load(tmp_path / "c.npz")
    assert [getattr(loaded, name) for name in SIDES] == [(9, 14), (94_100, 94_105), (104, 104)]
    numbers = loaded.numbers(window=1.0, level=0.5)
    assert numbers == COUNTS.numbers()
    assert numbers["negative"] == {"fewest": 9, "most": 14}
    assert (numbers["window"], numbers["level"]) == (0.2, 0.99), "those that the counts were made with"
    assert len(numbers["assumptions"]) == 3


@pytest.mark.parametrize("counts", [(5, 4), (0, 94_219)])
def test_counts_that_cannot_be(counts):
    for place in range(3):
        ranges = [(0, 94_218)] * 3
        ranges[place] = counts
        with pytest.raises(ValueError, match=rf"{SIDES[place]} must be \(fewest, most\), at most 94,218; got"):
            CertifiedCounts(*ranges, **FACTS)
