"""SVHN, STL-10 and Fashion-MNIST from small files in the true formats, and what stands in for them."""

import gzip
import hashlib
import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from scipy.io import savemat
from skip_paper.data import images as data
from skip_paper.data import other_images
from skip_paper.data.other_images import STL10, load_substitute

RNG = np.random.default_rng(0)
COUNTS = {"train": 5, "test": 3}


CHECK_DIGEST = other_images.check_digest


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    monkeypatch.setattr(data, "usual_places", list)
    monkeypatch.setattr(other_images, "check_digest", lambda *_: None)
    monkeypatch.setenv("HESSDENS_OFFLINE", "1")
    monkeypatch.delenv("HESSDENS_DATA", raising=False)


def write_svhn(folder, **changes):
    found = {}
    for split, count in COUNTS.items():
        pixels = RNG.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        labels = np.arange(1, count + 1) if split == "train" else np.array([10, 9, 1])
        content = {"X": pixels.transpose(2, 3, 1, 0), "y": labels[:, None].astype(np.uint8)} | changes
        savemat(folder / f"{split}_32x32.mat", {k: v for k, v in content.items() if v is not None})
        found[split] = pixels, labels % 10
    return found


def write_stl10(folder, **changes):
    found, files = {}, {}
    for split, count in COUNTS.items():
        pixels = RNG.integers(0, 256, (count, 3, 96, 96), dtype=np.uint8)
        labels = np.arange(1, count + 1, dtype=np.uint8) * 2
        files |= {f"{split}_X.bin": pixels.transpose(0, 1, 3, 2).tobytes(), f"{split}_y.bin": labels.tobytes()}
        found[split] = pixels, labels.astype(int) - 1
    with tarfile.open(folder / STL10, "w:gz") as archive:
        for name, content in (files | changes).items():
            if content is not None:
                member = tarfile.TarInfo(f"stl10_binary/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return found


def idx(array):
    header = bytes((0, 0, 8, array.ndim)) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    return header + array.tobytes()


def write_fashion(folder, **changes):
    found = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        pixels = RNG.integers(0, 256, (COUNTS[split], 28, 28), dtype=np.uint8)
        labels = np.arange(COUNTS[split], dtype=np.uint8)
        files = {"images-idx3": idx(pixels), "labels-idx1": idx(labels)} | changes
        for name, content in files.items():
            (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
        found[split] = pixels[:, None], labels
    return found


def test_svhn(tmp_path):
    written, images = write_svhn(tmp_path), load_substitute("svhn", tmp_path)
    assert (images.title, images.shape, images.num_classes) == ("SVHN", (3, 32, 32), 10)
    for split, (pixels, labels) in written.items():
        found = getattr(images, split)
        np.testing.assert_array_equal(found[0].reshape(-1, 3, 32, 32), pixels)
        np.testing.assert_array_equal(found[1], labels)


def test_stl10_is_upright_and_averaged(tmp_path):
    written, images = write_stl10(tmp_path), load_substitute("stl10", tmp_path)
    assert images.title == "STL-10, reduced to 32 x 32"
    for split, (pixels, labels) in written.items():
        found = getattr(images, split)
        for row, column in ((0, 0), (3, 20), (31, 7)):
            block = pixels[:, :, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
            expected = np.round(block.mean(axis=(2, 3)))
            np.testing.assert_array_equal(found[0].reshape(-1, 3, 32, 32)[:, :, row, column], expected)
        np.testing.assert_array_equal(found[1], labels)


def test_fashion_mnist(tmp_path):
    (tmp_path / "fashion-mnist").mkdir()
    written, images = write_fashion(tmp_path / "fashion-mnist"), load_substitute("fashion-mnist", tmp_path)
    assert (images.title, images.shape) == ("Fashion-MNIST", (1, 28, 28))
    for split, (pixels, labels) in written.items():
        found = getattr(images, split)
        np.testing.assert_array_equal(found[0].reshape(-1, 1, 28, 28), pixels)
        np.testing.assert_array_equal(found[1], labels)


def test_what_stands_in_is_named(tmp_path, capsys):
    assert load_substitute("svhn", tmp_path).title == "digits (scikit-learn), not CIFAR, in place of SVHN"
    notice = capsys.readouterr().err
    assert "*** SVHN was not found and could not be downloaded: HESSDENS_OFFLINE is set" in notice
    assert "*** Fashion-MNIST was not found" in notice
    assert "*** Using digits" in notice
    write_fashion(tmp_path)
    assert load_substitute("stl10", tmp_path).title == "Fashion-MNIST, in place of STL-10, reduced to 32 x 32"


def test_downloads_are_checked(tmp_path, monkeypatch):
    asked = []

    def download(address, digest):
        asked.append((address, digest))
        return tmp_path / address.rpartition("/")[2]

    write_svhn(tmp_path)
    monkeypatch.setattr(data, "download", download)
    assert load_substitute("svhn").title == "SVHN"
    assert asked[0][0] == "https://ufldl.stanford.edu/housenumbers/train_32x32.mat"
    assert all(len(digest) == 64 for _, digest in asked)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": None}, r"must hold X and y; found \['y'\]"),
        ({"X": np.zeros((32, 32, 3, 2))}, r"must be bytes of shape \(32, 32, 3, n\); got float64"),
        ({"X": np.zeros((32, 30, 3, 2), np.uint8)}, r"got uint8, \(32, 30, 3, 2\)"),
        ({"y": np.array([[1], [11], [2], [3], [4]])}, "must lie in 0..9; image 1 has 10"),
        ({"y": np.array([[1], [2]])}, "must belong to as many labels as images; got 2 and 5"),
        ({"y": np.array(["a"])}, "must be numbers"),
    ],
)
def test_damaged_svhn(tmp_path, changes, message):
    write_svhn(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        load_substitute("svhn", tmp_path)


def test_truncated_svhn(tmp_path):
    write_svhn(tmp_path)
    path = tmp_path / "train_32x32.mat"
    for length in (0, 60, 2_000):
        whole = path.read_bytes()
        path.write_bytes(whole[:length])
        with pytest.raises(
            ValueError, match=r"MATLAB file .*; got .*train_32x32\.mat|train_32x32\.mat must hold X and y"
        ):
            load_substitute("svhn", tmp_path)
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_X.bin": None}, "it does not hold the file stl10_binary/train_X.bin"),
        ({"train_X.bin": b"abc"}, "must be images of 27,648 bytes; got 3 bytes"),
        ({"test_y.bin": bytes((1, 2))}, "as many labels as images; got 2 and 3"),
        ({"test_y.bin": bytes((0, 1, 2))}, "must lie in 0..9; image 0 has -1"),
    ],
)
def test_damaged_stl10(tmp_path, changes, message):
    write_stl10(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        load_substitute("stl10", tmp_path)


def test_truncated_stl10(tmp_path):
    write_stl10(tmp_path)
    path = tmp_path / STL10
    path.write_bytes(path.read_bytes()[:3_000])
    with pytest.raises(ValueError, match=r"must be a whole archive .* before its checksum"):
        load_substitute("stl10", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images-idx3": idx(np.zeros((2, 3), np.uint8))}, "must begin with the number 0x00000803; got 0x00000802"),
        ({"images-idx3": idx(np.zeros((5, 28, 28), np.uint8))[:-1]}, "must hold 3,920 bytes of content; got 3,919"),
        ({"images-idx3": idx(np.zeros((5, 27, 28), np.uint8))}, r"must be 28 x 28 pixels; got \(27, 28\)"),
        ({"images-idx3": b""}, "must begin with the number 0x00000803; got 0x"),
        ({"labels-idx1": idx(np.full(5, 10, np.uint8))}, "must lie in 0..9; image 0 has 10"),
        ({"labels-idx1": idx(np.zeros(4, np.uint8))}, "as many labels as images; got 4 and 5"),
    ],
)
def test_damaged_fashion_mnist(tmp_path, changes, message):
    write_fashion(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        load_substitute("fashion-mnist", tmp_path)


def test_truncated_fashion_mnist(tmp_path):
    write_fashion(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="must be a whole gzip file"):
        load_substitute("fashion-mnist", tmp_path)


def test_sources_are_of_ten_classes_and_checked():
    for source in other_images.SOURCES.values():
        assert all(len(digest) == 64 for digests in source.files.values() for digest in digests)
        assert source.address.startswith("https://")


@pytest.mark.parametrize(
    ("name", "write"), [("svhn", write_svhn), ("stl10", write_stl10), ("fashion-mnist", write_fashion)]
)
def test_what_was_not_published_is_refused(name, write, tmp_path, monkeypatch):
    monkeypatch.setattr(other_images, "check_digest", CHECK_DIGEST)
    write(tmp_path)
    with pytest.raises(ValueError, match=r"as published; got .* its SHA-256 is another one"):
        load_substitute(name, tmp_path)


def test_fashion_mnist_is_checked_by_what_it_unpacks_to(tmp_path, monkeypatch):
    monkeypatch.setattr(other_images, "check_digest", CHECK_DIGEST)
    written = write_fashion(tmp_path)
    files = {
        path.name: ("0" * 64, hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest())
        for path in tmp_path.iterdir()
    }
    monkeypatch.setitem(
        other_images.SOURCES, "fashion-mnist", replace(other_images.SOURCES["fashion-mnist"], files=files)
    )
    for path in tmp_path.iterdir():
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1))
    found = load_substitute("fashion-mnist", tmp_path).train[0]
    np.testing.assert_array_equal(found, written["train"][0].reshape(len(found), -1))
