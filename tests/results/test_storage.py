"""Result files: whole or not there, never unpickled, tagged."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdens import Spectrum
from hessdens.results import Moments
from hessdens.results.storage import NewerFormatError, load_npz, pack, readonly, save_npz, unpack


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "s.npz"
    Spectrum([1.0]).save(path)

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        Spectrum([2.0]).save(path)
    assert Spectrum.load(path).eigenvalues[0] == 1.0
    assert os.listdir(tmp_path) == ["s.npz"]


def test_another_kind(tmp_path):
    Spectrum([1.0]).save(tmp_path / "s.npz")
    with pytest.raises(ValueError, match="must hold a saved Moments; it holds Spectrum"):
        Moments.load(tmp_path / "s.npz")


def test_foreign_truncated_pickled_and_newer_files(tmp_path):
    np.savez(tmp_path / "foreign.npz", a=1)
    with pytest.raises(ValueError, match="it holds no hessdens result"):
        Spectrum.load(tmp_path / "foreign.npz")
    Spectrum(np.arange(1000.0)).save(tmp_path / "s.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "s.npz").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"must be a whole .npz file without pickled objects; got .*cut.npz"):
        Spectrum.load(tmp_path / "cut.npz")
    np.savez(tmp_path / "pickled.npz", eigenvalues=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"without pickled objects; got .*pickled.npz"):
        Spectrum.load(tmp_path / "pickled.npz")
    save_npz(tmp_path / "new.npz", "Spectrum", {})
    with np.load(tmp_path / "new.npz") as archive:
        np.savez(tmp_path / "new.npz", **{**archive, "hessdens_format": 99})
    with pytest.raises(ValueError, match="has format 99, written by a newer hessdens; this one reads up to 3"):
        Spectrum.load(tmp_path / "new.npz")


def test_a_file_with_any_byte_altered_is_refused_or_unharmed(tmp_path):
    path = tmp_path / "s.npz"
    spectrum = Spectrum(np.arange(5.0))
    spectrum.save(path)
    content = path.read_bytes()
    refused = 0
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :])
        try:
            np.testing.assert_array_equal(Spectrum.load(path).eigenvalues, spectrum.eigenvalues)
        except ValueError:
            refused += 1
    assert refused > len(content) / 2


def test_saved_files_are_readable_by_others_as_any_file_is(tmp_path):
    Spectrum([1.0]).save(tmp_path / "s.npz")
    (tmp_path / "other").touch()
    assert (tmp_path / "s.npz").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_places_and_kinds_of_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"The folder of .*nowhere.s.npz does not exist. Make it first"):
        Spectrum([1.0]).save(tmp_path / "nowhere" / "s.npz")
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"must be a whole .npz file"):
        Spectrum.load(tmp_path / "a.npy")


ROWS = st.lists(
    st.dictionaries(
        st.sampled_from("abc"),
        st.lists(st.floats(allow_nan=False), max_size=6).map(lambda values: np.array(values).reshape(-1, 1)),
    ),
    max_size=5,
)


@given(rows=ROWS)
def test_packed_rows_come_back(rows):
    found = unpack(pack(rows), len(rows), "r.npz")
    assert [row.keys() for row in found] == [row.keys() for row in rows]
    for mine, other in zip(rows, found, strict=True):
        for name, value in mine.items():
            np.testing.assert_array_equal(other[name], value)


def test_packed_scalars_and_strings_come_back():
    found = unpack(pack([{"a": 1, "b": "short"}, {"b": "much longer"}]), 2, "r.npz")
    assert (found[0]["a"].item(), found[0]["b"].item(), found[1]["b"].item()) == (1, "short", "much longer")


@pytest.mark.parametrize(
    "change",
    [
        {"a.rows": [0, 5]},
        {"a.rows": [1, 1]},
        {"a.shapes": [[1], [7]]},
        {"a.shapes": [[2**32, 2**32], [3, 1]]},
        {"a.values": [[1.0, 1.0, 1.0]]},
    ],
)
def test_impossible_packed_rows_are_refused(change):
    packed = pack([{"a": np.ones(1)}, {"a": np.ones(2)}]) | {name: np.array(value) for name, value in change.items()}
    with pytest.raises(ValueError, match=r"Packed arrays must be whole; 'a' in r.npz is not"):
        unpack(packed, 2, "r.npz")
    packed.pop("a.values")
    with pytest.raises(ValueError, match=r"'a' in r.npz is not"):
        unpack(packed, 2, "r.npz")


@pytest.mark.parametrize("change", [{"a.shapes": [[-1], [4]]}, {"a.rows": [0]}, {"a.rows": [0.0, 1.0]}])
def test_packed_rows_of_other_shapes_and_kinds_are_refused(change):
    packed = pack([{"a": np.ones(1)}, {"a": np.ones(2)}]) | {name: np.array(value) for name, value in change.items()}
    with pytest.raises(ValueError, match=r"'a\.(rows|shapes)' in r.npz must have shape .*: the file is damaged"):
        unpack(packed, 2, "r.npz")
    packed.pop("a.shapes")
    with pytest.raises(ValueError, match=r"r.npz must .*'a\.|'a\."):
        unpack(packed, 2, "r.npz")


def test_what_compresses_a_thousandfold_is_saved_so_that_it_can_be_read(tmp_path):
    zeros = np.zeros(12_000_000)
    save_npz(tmp_path / "z.npz", "checkpoint", {"a": zeros})
    np.testing.assert_array_equal(load_npz(tmp_path / "z.npz", "checkpoint")["a"], zeros)
    save_npz(tmp_path / "small.npz", "checkpoint", {"a": zeros[:1_000_000]})
    assert (tmp_path / "small.npz").stat().st_size < 20_000


def test_a_newer_version_is_told_from_damage(tmp_path):
    save_npz(tmp_path / "new.npz", "Spectrum", {})
    with np.load(tmp_path / "new.npz") as archive:
        np.savez(tmp_path / "new.npz", **{**archive, "hessdens_format": 99, "what_it_means": 1})
    with pytest.raises(NewerFormatError, match="written by a newer hessdens"):
        load_npz(tmp_path / "new.npz", "Spectrum")


def test_copies_cannot_be_written_to():
    array = np.ones(2)
    copy = readonly(array)
    array[0] = 3.0
    assert copy.tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        copy[0] = 3.0


def test_packed_names_without_any_row_are_refused():
    packed = {"a.rows": np.zeros(0, int), "a.shapes": np.zeros((0, 1), int), "a.values": np.zeros(0)}
    with pytest.raises(ValueError, match=r"Packed arrays must be whole; 'a' in r.npz is not"):
        unpack(packed, 2, "r.npz")
