"""A slice of the damaged files that `make fuzz` reads, and that the fuzzer notices what readers must not do."""

import json
import signal
import sys

import fuzzer
import numpy as np
import pytest
from fuzzer import Case, outcome_of, run

SLICE = 300
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory as Linux gives it")


@linux
def test_damaged_files_are_refused_by_name_or_read_right():
    report = run(SLICE, seed=1)
    assert report.faults == [], report
    assert report.outcomes["refused"] + report.outcomes["right"] == SLICE
    assert min(report.outcomes.values()) > SLICE / 50, "both outcomes are seen"
    assert report.memory <= fuzzer.MOST_MEMORY


def raising(error):
    def read(folder):
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (raising(KeyError("x")), "KeyError"),
        (raising(RecursionError("deep")), "RecursionError"),
        (raising(ValueError("without its name")), "an error that does not name the file"),
        (raising(MemoryError()), "MemoryError"),
        (lambda folder: {"a": np.ones(2)}, "a wrong result"),
        (lambda folder: {"a": np.zeros(2)}, "right"),
        (lambda folder: json.loads((folder / "f").read_text()), "an error that does not name the file"),
        (lambda folder: raising(ValueError(f"{folder}/f must be JSON"))(folder), "refused"),
        (lambda folder: (folder / "g").read_text(), "refused"),
    ],
)
def test_other_outcomes_are_noticed(read, found, tmp_path):
    (tmp_path / "f").write_text("{")
    whole = {"a": np.zeros(2)}
    assert outcome_of(Case("bytes", {}, "f", read), "flipped", tmp_path / "f", tmp_path, whole).startswith(found)


def test_readers_that_take_too_long_are_noticed(tmp_path):
    signal.signal(signal.SIGALRM, fuzzer.too_long)
    case = Case("bytes", {}, "f", lambda folder: signal.raise_signal(signal.SIGALRM))
    assert outcome_of(case, "flipped", tmp_path / "f", tmp_path, None) == "longer than 10 s"


@linux
def test_an_input_depends_on_its_number_alone():
    assert run(12, seed=2).log[6:] == run(6, seed=2, start=6).log
