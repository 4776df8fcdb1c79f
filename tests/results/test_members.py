"""Arrays of .npz files: as NumPy reads them, and refused before they are unpacked where they are not plain."""

import io
import itertools
import os
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from hessdens.results import members
from hessdens.results.members import MOST_MEMBERS, read_members

RULE = "A result must be a whole .npz file"
FLOATS = "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }"
DTYPES = st.one_of(
    arrays_of.boolean_dtypes(),
    arrays_of.integer_dtypes(),
    arrays_of.unsigned_integer_dtypes(),
    arrays_of.floating_dtypes(),
    arrays_of.unicode_string_dtypes(max_len=3),
)


def npy(header, content=b""):
    text = header.encode().ljust(118 - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def write(path, contents, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def refusal(path):
    with pytest.raises(ValueError, match=f"{RULE}; got {path}, which cannot be read: ") as caught:
        read_members(path, RULE)
    return str(caught.value.__cause__)


@given(array=arrays_of.arrays(DTYPES, arrays_of.array_shapes(min_dims=0, min_side=0)), order=st.sampled_from("CF"))
def test_arrays_come_back_as_numpy_reads_them(array, order, tmp_path_factory):
    if array.dtype.kind == "U":  # half of a letter of two halves is no text
        assume(not any("\ud800" <= letter <= "\udfff" for text in array.flat for letter in text))
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    np.savez(path, a=np.asarray(array, order=order), b=1.5)
    with np.load(path) as archive:
        expected = archive["a"]
    found = read_members(path, RULE)
    assert found["b"] == 1.5
    np.testing.assert_array_equal(found["a"], expected)
    assert found["a"].dtype == expected.dtype.newbyteorder("=")
    assert found["a"].flags.writeable


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '|V8', 'fortran_order': False, 'shape': (1,), }",
        FLOATS % "(True,)",
        FLOATS % "(-1,)",
        FLOATS % "(1L,)",
        FLOATS % "[1]",
        "{'descr': '<f8', 'fortran_order': 1, 'shape': (1,), }",
        "(" * 100 + "1",
        "__import__('os').system('true')",
    ],
)
def test_headers_that_numpy_does_not_write_for_plain_arrays(header, tmp_path):
    write(tmp_path / "a.npz", {"a.npy": npy(header, bytes(8))})
    assert refusal(tmp_path / "a.npz") == "'a.npy' is no array of numbers, truth values or text"


@pytest.mark.parametrize("shape", ["(3,)", "()", "(2, 0)", "(1000000000000000,)", f"({'9' * 40},)", "(1, 2, 1)"])
def test_arrays_of_another_size_than_their_header_says(shape, tmp_path):
    write(tmp_path / "a.npz", {"a.npy": npy(FLOATS % shape, bytes(32))})
    assert refusal(tmp_path / "a.npz") == "'a.npy' is not of the size that its header says"


def test_huge_shapes_without_content(tmp_path):
    write(tmp_path / "a.npz", {"a.npy": npy("{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999,), }")})
    assert "bytes unpack to 799,999,999,992" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("descr", "content", "reason"),
    [("|b1", b"\2", "neither true nor false"), ("<U1", b"\0\0\x11\0", "no text"), (">U1", b"\0\0\xd8\0", "no text")],
)
def test_bytes_that_are_no_values(descr, content, reason, tmp_path):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,), }}"
    write(tmp_path / "a.npz", {"a.npy": npy(header, content)})
    assert reason in refusal(tmp_path / "a.npz")


def test_members_that_are_too_many_twice_there_or_packed_in_unusual_ways(tmp_path):
    path = tmp_path / "a.npz"
    content = npy(FLOATS % "(1,)", bytes(8))
    write(path, {f"{index}.npy": content for index in range(MOST_MEMBERS)})
    assert len(read_members(path, RULE)) == MOST_MEMBERS
    write(path, {f"{index}.npy": content for index in range(MOST_MEMBERS + 1)})
    assert refusal(path) == "it has 1,001 members, more than 1,000"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", content)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.npy", content)
    assert refusal(path) == "it has two members of one name"
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        write(path, {"a.npy": content}, method)
        assert "'a.npy' is encrypted, or compressed in an unusual way" in refusal(path)
    write(path, {"a.txt": content})
    assert "'a.txt' is no array" in refusal(path)


def test_a_large_directory_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    write(path, {f"{index}.npy": b"" for index in range(6_000)})
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("opened"))
    assert "its directory has" in refusal(path)
    large = struct.pack("<L8xQ24xQ8x", 0x06064B50, 44, 2**30) + struct.pack("<L16x", 0x07064B50)
    path.write_bytes(large + struct.pack("<L18x", 0x06054B50))
    assert "its directory has 1,073,741,824 bytes" in refusal(path)


def test_checksums_are_compared(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(1000.0))
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    assert "Bad CRC-32" in refusal(path)


@pytest.mark.parametrize("dtype", ["f8", "i1", "b1"])
def test_memory_is_counted_as_numbers_take_it(dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(members, "USUAL_SIZE", 100_000)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(12_000, dtype))
    assert len(read_members(path, RULE)["a"]) == 12_000
    np.savez_compressed(path, a=np.zeros(12_501, dtype))
    assert "bytes unpack to" in refusal(path)
    np.savez_compressed(path, a=np.zeros(6_000, dtype), b=np.zeros(6_501, dtype))
    assert "bytes unpack to" in refusal(path)


def test_a_file_of_many_bytes_may_hold_more(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "USUAL_SIZE", 0)
    np.savez(tmp_path / "a.npz", a=np.zeros(1000))
    assert len(read_members(tmp_path / "a.npz", RULE)["a"]) == 1000


def test_every_byte_altered_or_cut_off_is_seen_or_harmless(tmp_path):
    buffer, path = io.BytesIO(), tmp_path / "a.npz"
    np.savez_compressed(buffer, a=np.arange(5.0), b=np.array("text"), c=np.array([True]))
    content = buffer.getvalue()
    changes = (
        content[:i] + bytes([content[i] ^ flip]) + content[i + 1 :] for i in range(len(content)) for flip in (1, 255)
    )
    cuts = (content[:length] for length in range(len(content)))
    refused = 0
    for changed in itertools.chain(changes, cuts):
        path.write_bytes(changed)
        try:
            found = read_members(path, RULE)
        except ValueError as error:
            assert os.fspath(path) in str(error)  # noqa: PT017
            refused += 1
        else:
            np.testing.assert_array_equal(found.pop("a", np.arange(5.0)), np.arange(5.0))
    assert refused > 2 * len(content)
