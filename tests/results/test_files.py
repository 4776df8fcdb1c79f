"""Files that a stranger may have made: opened within limits, replaced whole, and never anything but files."""

import json
import os
import socket
import stat

import pytest

from hessdens import Spectrum, load_result
from hessdens.results.files import MOST_JSON, json_facts, read_json, reading, replaceable, replacing

RULE = "A header must be JSON"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "rows.csv"
    with replacing(path, text=True) as file:
        file.write("λ\r\n")
        assert not path.exists()
    assert path.read_bytes() == "λ\r\n".encode()
    with pytest.raises(TypeError, match="bytes-like"), replacing(path) as file:
        file.writelines([b"half a ", None])
    assert path.read_bytes() == "λ\r\n".encode()
    assert os.listdir(tmp_path) == ["rows.csv"]


def test_a_replaced_file_keeps_its_permissions_and_a_link_its_place(tmp_path):
    target, link = tmp_path / "target.npz", tmp_path / "link.npz"
    Spectrum([1.0]).save(target)
    target.chmod(0o600)
    link.symlink_to(target)
    Spectrum([2.0]).save(link)
    assert link.is_symlink()
    assert Spectrum.load(target).eigenvalues[0] == 2.0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    new = tmp_path / "dangling.npz"
    new.symlink_to(tmp_path / "new.npz")
    Spectrum([3.0]).save(new)
    assert Spectrum.load(tmp_path / "new.npz").eigenvalues[0] == 3.0


def pipe(path):
    os.mkfifo(path)


def listening(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


def looping(path):
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "kind"), [(os.mkfifo, "a pipe"), (os.mkdir, "a folder"), (listening, "a socket"), (looping, "symbolic")]
)
def test_only_files_are_read_and_replaced(make, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets must be short
    path = tmp_path / "o"
    make(path.relative_to(tmp_path) if make is listening else path)
    before = os.lstat(path)
    with pytest.raises((OSError, ValueError), match=rf"(?s){kind}.*|.*{path}.*{kind}"):
        load_result(path)
    with pytest.raises(OSError, match=rf"Only a file may be replaced; {path} is {kind}|{kind}"):
        Spectrum([1.0]).save(path)
    assert (os.lstat(path).st_ino, os.listdir(tmp_path)) == (before.st_ino, ["o"])


def test_devices_are_neither_read_nor_replaced():
    for device in ("/dev/null", "/dev/zero"):
        with pytest.raises(ValueError, match=rf"got {device}, which is a device"):
            load_result(device)
        with pytest.raises(FileExistsError, match=rf"Only a file may be replaced; {device} is a device"):
            Spectrum([1.0]).save(device)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_read_only_files_are_kept(tmp_path):
    path = tmp_path / "s.npz"
    Spectrum([1.0]).save(path)
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=rf"{path} is read-only. Give another name"):
        Spectrum([2.0]).save(path)
    assert Spectrum.load(path).eigenvalues[0] == 1.0


def test_names_that_cannot_be(tmp_path):
    with pytest.raises(OSError, match="File name too long"):
        replaceable(tmp_path / ("x" * 300))
    for name in ("a\0b", "a\ud800b"):
        with pytest.raises(ValueError, match=r"a.*b' must be the name of a file"):
            replaceable(name)
        with pytest.raises(ValueError, match=r"a.*b' must be the name of a file"):
            load_result(name)
    longest = tmp_path / ("x" * 255)
    Spectrum([1.0]).save(longest)
    assert load_result(longest).size == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[1]", "must be an object of JSON; it is list"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (b"\xff", "codec"),
        ('{"a": ' + "1" * 5000 + "}", "Exceeds the limit"),
        (" " * (MOST_JSON + 1), "more than 8,388,608 bytes"),
    ],
)
def test_damaged_json(text, reason, tmp_path):
    path = tmp_path / "h.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"{RULE}; got {path}, which cannot be read: .*{reason}"):
        read_json(path, RULE)


def test_facts_are_text_and_numbers(tmp_path):
    assert json_facts(json.dumps({"a": "x", "b": 1, "c": 1.5})) == {"a": "x", "b": 1, "c": 1.5}
    with pytest.raises(ValueError, match="'a' must be text or a number; it is list"):
        json_facts('{"a": []}')


@pytest.mark.parametrize("error", [KeyError("x"), MemoryError(), RecursionError(), EOFError(), ValueError("why")])
def test_whatever_content_raises_is_one_error_that_names_the_file(error, tmp_path):
    path = tmp_path / "f"
    path.touch()
    with pytest.raises(ValueError, match=rf"{RULE}; got {path}, which cannot be read: ") as caught, reading(path, RULE):
        raise error
    assert caught.value.__cause__ is error
    with pytest.raises(KeyboardInterrupt), reading(path, RULE):
        raise KeyboardInterrupt
