"""Histories: what is asked of them, and files that hold exactly what was saved, or are refused."""

import dataclasses
import zipfile

import numpy as np
import pytest
from histories import HISTORY, IDENTITY, record

from hessdens.monitor import SpectrumHistory
from hessdens.results.storage import save_npz
from hessdens.results.summaries.text import percent

RNG = np.random.default_rng(0)


def test_file_holds_exactly_what_was_saved(tmp_path):
    HISTORY.save(tmp_path / "h.npz")
    found = SpectrumHistory.load(tmp_path / "h.npz")
    assert found.identity == IDENTITY
    for mine, other in zip(HISTORY, found, strict=True):
        for name in ("step", "loss", "failure", "training_seconds", "measuring_seconds"):
            assert getattr(mine, name) == getattr(other, name), name
        if mine.density is None:
            assert other.density is None
        else:
            before, after = mine.density.to_arrays(), other.density.to_arrays()
            assert before.keys() == after.keys()
            for name, value in before.items():
                np.testing.assert_array_equal(after[name], value, name)
    assert str(found) == str(HISTORY)


def test_empty_history_and_one_that_has_only_failed(tmp_path):
    for history in (SpectrumHistory(IDENTITY), SpectrumHistory(IDENTITY, (record(3, failure="overflow"),))):
        history.save(tmp_path / "h.npz")
        assert [found.step for found in SpectrumHistory.load(tmp_path / "h.npz")] == history.steps.tolist()
    assert str(SpectrumHistory(IDENTITY)) == "History without records"


def test_number_of_file_members_does_not_grow_with_records(tmp_path):
    """A thousand records of their own members would take seconds to write."""
    HISTORY.until(10).save(tmp_path / "short.npz")
    SpectrumHistory(IDENTITY, tuple(record(step) for step in range(20))).save(tmp_path / "long.npz")
    short, long = (len(zipfile.ZipFile(tmp_path / name).namelist()) for name in ("short.npz", "long.npz"))
    assert short == long


def test_arrays_over_records():
    np.testing.assert_array_equal(HISTORY.steps, [0, 10, 20, 40])
    first = HISTORY[0].density
    assert HISTORY.values("degenerate", window=0.1)[0] == first.fraction_degenerate(0.1)
    assert np.isnan(HISTORY.values("m_2")[2])
    np.testing.assert_array_equal(HISTORY.interval("negative")[:, 0], first.negative_interval())
    np.testing.assert_array_equal(HISTORY.interval("m_3")[:, 0], first.moments_interval(4)[:, 2])
    np.testing.assert_allclose(HISTORY.values("largest")[[0, 1, 3]], [9, 10.8, 18], rtol=1e-6)
    np.testing.assert_array_equal(HISTORY.values("loss"), [2.5 / (1 + step) for step in HISTORY.steps])


def test_columns_are_all_numbers_of_all_records():
    columns = HISTORY.columns(0.1, 0.9)
    assert list(columns) == list(HISTORY[0].numbers())
    for place, one in enumerate(HISTORY):
        expected = one.numbers(0.1, 0.9)
        np.testing.assert_array_equal([column[place] for column in columns.values()], list(expected.values()))
    empty = HISTORY.until(-1)
    assert empty.columns() == {}
    assert empty.values("m_1").shape == (0,)
    assert empty.interval("m_1").shape == (2, 0)
    assert HISTORY.until(20).steps.tolist() == [0, 10, 20]


def test_numbers_of_a_failed_record_have_the_same_names():
    assert list(HISTORY[2].numbers()) == list(HISTORY[0].numbers())
    assert HISTORY[2].numbers()["loss"] == 2.5 / 21


def test_difference_names_its_steps():
    assert str(HISTORY.difference(0, 40)).startswith("Change from step 0 to step 40")
    assert HISTORY.difference(0, 10).values[1] == pytest.approx(0.44 * HISTORY.values("m_2")[0], rel=1e-6)


def test_printed_history_shows_first_and_last_and_why_one_has_failed():
    lines = str(HISTORY).splitlines()
    assert lines[0] == "History of 60 eigenvalues of Net: 4 records from step 0 to step 40, 1 without a density"
    assert lines[1] == "  training 400 s, measuring 5 s (1.2% of it)"
    assert [line.split()[0] for line in lines[4:]] == ["0", "10", "20", "40"]
    low, high = HISTORY.interval("negative")[:, 1]
    assert f"({percent(low)}, {percent(high)})" in lines[5]
    assert lines[6].endswith("Products must be finite.")
    long = SpectrumHistory(IDENTITY, tuple(record(step, failure="x") for step in range(100)))
    shown = [int(line.split()[0]) for line in str(long).splitlines()[4:]]
    assert len(shown) == 12
    assert (shown[0], shown[-1]) == (0, 99)


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        HISTORY.records = ()
    with pytest.raises(ValueError, match="read-only"):
        HISTORY[0].density.quadrature.weights[0] = 1


def test_bad_input(tmp_path):
    with pytest.raises(ValueError, match=r"records must have ascending steps; got \[10, 10\]"):
        SpectrumHistory(IDENTITY, (HISTORY[1], HISTORY[1]))
    with pytest.raises(ValueError, match=r"step must be one of the 4 that were recorded; got 11. Near: \[10, 20, 0\]"):
        HISTORY.at(11)
    with pytest.raises(ValueError, match=r"name must be one of loss, .*; got 'm_5'"):
        HISTORY.values("m_5")
    with pytest.raises(ValueError, match=r"that of step 20 has none: Products must be finite"):
        HISTORY.difference(0, 20)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "h.npz"
    HISTORY[0].density.save(path)
    with pytest.raises(ValueError, match="must hold a saved SpectrumHistory; it holds LanczosDensity"):
        SpectrumHistory.load(path)
    HISTORY.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"whole \.npz file"):
        SpectrumHistory.load(path)
    for arrays in ({"identity": "{}"}, {"identity": 1, "num_records": 0}, {"identity": "{}", "num_records": -1}):
        save_npz(path, "SpectrumHistory", arrays)
        with pytest.raises(ValueError, match=r"h.npz must .*: the file is damaged"):
            SpectrumHistory.load(path)
    for arrays in (
        {"identity": "no json", "num_records": 0},
        {"identity": "[1]", "num_records": 0},
        {"identity": "[" * 100_000, "num_records": 0},
        {"identity": "{}", "num_records": 1},
        {"identity": "{}", "num_records": 2**62, "step.values": np.array([1])},
        {"identity": "{}", "num_records": 1, "step.values": np.array([1])},
        {
            "identity": "{}",
            "num_records": 1,
            "a.values": np.ones(2),
            "a.shapes": np.array([[3]]),
            "a.rows": np.zeros(1),
        },
    ):
        save_npz(path, "SpectrumHistory", arrays)
        with pytest.raises(
            ValueError, match=r"h\.npz (is damaged, or no history|must h)|in .*h\.npz (must have|is not)"
        ):
            SpectrumHistory.load(path)
