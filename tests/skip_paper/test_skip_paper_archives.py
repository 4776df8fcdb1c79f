"""Archives of data sets: read to their checksum within limits, and nothing in them but files."""

import gzip
import io
import tarfile

import numpy as np
import pytest
from skip_paper.data.archives import read_archive, unpacked

CONTENT = np.random.default_rng(0).integers(0, 256, 3_000, dtype=np.uint8).tobytes()
MOST = 100_000


def archive(path, *members, kind=tarfile.GNU_FORMAT):
    """Write an archive of (name, content) and of headers without content."""
    with tarfile.open(path, "w:gz", format=kind) as out:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                out.addfile(member)
            else:
                header = tarfile.TarInfo(member[0])
                header.size = len(member[1])
                out.addfile(header, io.BytesIO(member[1]))


def link(name, target, kind):
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_come_back_from_all_formats_in_the_order_asked(kind, tmp_path):
    path = tmp_path / "a.tar.gz"
    archive(path, ("d/long" * 40, b"x"), ("./d/two", b"2" * 512), ("d/λ", b""), ("d/one", CONTENT), kind=kind)
    assert list(read_archive(path, ["d/one", "d/two"], MOST).items()) == [("d/one", CONTENT), ("d/two", b"2" * 512)]


def test_every_altered_byte_is_seen(tmp_path):
    path = tmp_path / "a.tar.gz"
    archive(path, ("d/one", CONTENT), ("d/two", b"2"))
    content = path.read_bytes()
    for place in range(10, len(content), 7):  # after the header of gzip, where a time may be
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            assert read_archive(path, ["d/one"], MOST)["d/one"] == CONTENT  # of the name of the file
        except ValueError as error:
            assert "a.tar.gz" in str(error)  # noqa: PT017
        else:
            assert place < 20
    for length in range(0, len(content), 11):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"a\.tar\.gz, which cannot be read: "):
            read_archive(path, ["d/one"], MOST)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([link("d/one", "d/two", tarfile.SYMTYPE), ("d/two", CONTENT)], "does not hold the file d/one"),
        ([("d/two", CONTENT), link("d/one", "d/two", tarfile.LNKTYPE)], "does not hold the file d/one"),
        ([link("d/one", "d/one", tarfile.SYMTYPE)], "does not hold the file d/one"),
        ([link("d/one", "nowhere", tarfile.LNKTYPE)], "does not hold the file d/one"),
        ([link("d/one", "", tarfile.FIFOTYPE)], "does not hold the file d/one"),
        ([("/d/one", CONTENT)], "does not hold the file d/one"),
        ([("../d/one", CONTENT)], "does not hold the file d/one"),
        ([("d/one", CONTENT), ("d/one", CONTENT)], "holds d/one twice"),
        ([("d/one", bytes(MOST + 1))], "unpacks to more than 100,000 bytes"),
        ([("d/one", CONTENT), ("other", bytes(MOST))], "unpacks to more than 100,000 bytes"),
        ([], "does not hold the file d/one"),
    ],
)
def test_links_bombs_and_other_places(members, reason, tmp_path):
    path = tmp_path / "a.tar.gz"
    archive(path, *members)
    with pytest.raises(ValueError, match=rf"a\.tar\.gz, which cannot be read: it {reason}"):
        read_archive(path, ["d/one"], MOST)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_thousand_headers_of_headers_are_passed_over(kind, tmp_path):
    path = tmp_path / "a.tar.gz"
    headers = [link("d/x", "", kind) for _ in range(10_000)]
    blocks = b"".join(header.tobuf(tarfile.USTAR_FORMAT) for header in headers)
    path.write_bytes(gzip.compress(blocks + bytes(1024)))
    with pytest.raises(ValueError, match="does not hold the file d/one"):
        read_archive(path, ["d/one"], 2**24)


def test_sizes_that_cannot_be(tmp_path):
    path = tmp_path / "a.tar.gz"
    for size, reason in ((-512, "has -512 bytes"), (8**11 - 1, "ends within a file")):
        header = tarfile.TarInfo("d/one")
        header.size = size
        path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(2048)))
        with pytest.raises(ValueError, match=rf"a\.tar\.gz, which cannot be read: .*{reason}"):
            read_archive(path, ["d/one"], MOST)


def test_what_follows_the_checksum(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(CONTENT) + bytes(600))
    assert unpacked(path, MOST) == CONTENT
    for rest in (b"x", bytes(600) + b"x", gzip.compress(b"more")):
        path.write_bytes(gzip.compress(CONTENT) + rest)
        with pytest.raises(ValueError, match="something follows its checksum"):
            unpacked(path, MOST)
    path.write_bytes(gzip.compress(CONTENT)[:-1])
    with pytest.raises(ValueError, match="ends after 3,000 bytes of content, before its checksum"):
        unpacked(path, MOST)
    path.write_bytes(gzip.compress(CONTENT))
    with pytest.raises(ValueError, match="more than 2,999 bytes"):
        unpacked(path, 2_999)
