"""What results have in common: read-only arrays, files, and numbers as JSON has them."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

from hessdens.results.saved import Saved, plain, rows
from hessdens.results.support import Interval


@dataclass(frozen=True, eq=False)
class Part(Saved):
    values: Annotated[np.ndarray, "n finite"]
    names: Annotated[tuple[str, ...], "m text"]
    index: Annotated[tuple[int, int], "2 count"]


@dataclass(frozen=True, eq=False)
class Whole(Saved):
    support: Interval
    is_odd: bool
    masks: Annotated[np.ndarray, "n flag"]
    one: Part
    maybe: Part | None
    many: tuple[Part, ...]

    def _numbers(self, window, level):
        return {"support": self.support, "window": np.float64(window), "level": level, "odd": np.bool_(self.is_odd)}


def part(*values):
    return Part(values, (), [3, np.int64(4)])


def whole(maybe=None, many=()):
    return Whole((0, 1), True, [True, False], part(1.0), maybe, many)


@pytest.mark.parametrize("result", [whole(), whole(part(2.0), (part(), part(3.0, 4.0)))])
def test_parts_come_back(result, tmp_path):
    result.save(tmp_path / "r.npz")
    loaded = Whole.load(tmp_path / "r.npz")
    assert (loaded.support, loaded.is_odd) == (Interval(0, 1), True)
    np.testing.assert_array_equal(loaded.masks, [True, False])
    for mine, other in zip(
        (result.one, result.maybe, *result.many), (loaded.one, loaded.maybe, *loaded.many), strict=True
    ):
        assert (mine is None) == (other is None)
        if mine is not None:
            np.testing.assert_array_equal(other.values, mine.values)
            assert (other.names, other.index) == ((), (3, 4))


def test_nothing_can_be_changed():
    values = np.ones(2)
    result = part(*values)
    with pytest.raises(ValueError, match="read-only"):
        result.values[0] = 2.0
    with pytest.raises(AttributeError, match="cannot assign"):
        result.values = values
    assert type(result.index[1]) is int


def test_arrays_of_parts_are_named_in_full():
    arrays = whole(many=(part(1.0),)).to_arrays()
    assert {"one_values", "many_0_index"} <= arrays.keys()
    assert "maybe_values" not in arrays
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    with pytest.raises(ValueError, match=r"'many_0_index' in r.npz must have shape \(2\) of a whole number"):
        Whole.from_arrays(arrays | {"many_0_index": np.ones(2)}, "r.npz")


def test_numbers_are_those_of_json():
    assert whole().numbers(0.5, 0.9) == {
        "kind": "Whole", "support": [0.0, 1.0], "window": 0.5, "level": 0.9, "odd": True
    }  # fmt: skip
    with pytest.raises(NotImplementedError, match="Part is a part of a result"):
        part().numbers()


def test_plain_values():
    found = plain({1: np.arange(2), "nan": np.nan, "infinite": [np.float32(np.inf)], "text": "x", "none": None})
    assert found == {"1": [0, 1], "nan": None, "infinite": [None], "text": "x", "none": None}
    assert type(plain(np.int64(3))) is int
    with pytest.raises(TypeError, match="numbers and text; got object"):
        plain(object())


def test_rows_are_numbered_from_one():
    assert rows(value=np.array([2.0, 3.0]), error=np.array([0.1, 0.2])) == [
        {"order": 1, "value": 2.0, "error": 0.1}, {"order": 2, "value": 3.0, "error": 0.2}
    ]  # fmt: skip
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        rows(value=np.array([2.0, 3.0]), error=np.array([0.1]))
