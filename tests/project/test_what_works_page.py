"""The page of what works shows the situations of the tests: ``python benchmarks/what_works.py`` writes it anew."""

import json
import re
from pathlib import Path

import pytest
import what_works
from zoo.checking import CASES, ROOMS, TURNS, attempt, made
from zoo.matrices import MATRICES

from hessdens import Plan

ROOT = Path(__file__).resolve().parents[2]
RESULTS = json.loads((ROOT / "benchmarks" / "results" / "what_works.json").read_text())


def test_names_are_unique_and_many():
    assert len(TURNS) == len(CASES) >= 150


@pytest.mark.parametrize("room", [pytest.param(room, id=room.__name__) for room in ROOMS])
def test_situations_of_a_room_are_shown(room):
    shown = RESULTS["rooms"][room.__doc__.splitlines()[0].rstrip(".")]
    assert {name: tuple(by_kind) for name, by_kind in shown.items()} == {c.name: c.operators for c in room.CASES}


def without_numbers(message):
    """Return a message without what rounding and random numbers change."""
    return re.sub(r"\d[\d.]*(e[+-]\d+)?", "#", message)


@pytest.mark.parametrize("room", [pytest.param(room, id=room.__name__) for room in ROOMS])
def test_refusals_have_the_words_of_now(room):
    shown = RESULTS["rooms"][what_works.title(room)]
    for case in room.CASES:
        for kind in (kind for kind, call in shown[case.name].items() if "refusal" in call):
            found = attempt(kind, made(case, case.dtypes[0]), Plan())
            message = what_works.beginning(str(found.result))
            assert without_numbers(message) == without_numbers(shown[case.name][kind]["refusal"]), case.name


def test_matrices_are_refused_with_the_words_of_now():
    for case in (case for case in MATRICES if case.refusal is not None):
        found = what_works.matrix(case)["refusal"]
        assert without_numbers(found) == without_numbers(RESULTS["matrices"][case.name]["refusal"]), case.name


def test_matrices_are_shown():
    assert list(RESULTS["matrices"]) == [case.name for case in MATRICES]


def test_nothing_that_is_shown_is_wrong():
    calls = [call for room in RESULTS["rooms"].values() for by_kind in room.values() for call in by_kind.values()]
    wrong = [call for call in [*calls, *RESULTS["matrices"].values()] if "defects" in call]
    assert not wrong
    assert all(call["error"] <= 1e-10 for call in calls if "mode" in call and "product_error" not in call)
