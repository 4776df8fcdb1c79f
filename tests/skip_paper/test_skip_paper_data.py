"""Image data: true formats, damaged and hostile files, where data are looked for, and what is done with them."""

import hashlib
import io
import json
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skip_paper.data import cifar_tiles
from skip_paper.data import images as data
from skip_paper.data.cifar_files import (
    LAYOUTS,
    Layout,
    digest_of_records,
    find_layout,
    parse_binary,
    parse_pickle,
    read_split,
)
from skip_paper.data.images import REPOSITORY, Images, load_digits, load_images, prepare, principal_components

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 3072), dtype=np.uint8)
COARSE, FINE = np.arange(6) % 20, np.arange(6) % 100
BINARY = np.column_stack([COARSE, FINE, IMAGES]).astype(np.uint8).tobytes()
DIGEST = hashlib.sha256(IMAGES.tobytes()).hexdigest()
SPLITS = ("train", "test")
SMALL_LAYOUT = Layout("cifar-100-binary", "cifar-100-binary.tar.gz", {"train": (("train.bin", 6),)}, 2, 20)


@pytest.fixture
def published(monkeypatch):
    """Make the small images of these tests the published ones."""
    for split in ("train", "test"):
        monkeypatch.setitem(data.RECORDS, ("cifar100", split), digest_of_records(IMAGES, COARSE))


def test_binary_records():
    images, labels = parse_binary(BINARY, "train.bin", 6, 2, 20)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, COARSE)


def test_truncated_and_altered_binary_files():
    with pytest.raises(ValueError, match=r"train.bin must have 18,444 bytes .6 images.; it has 18,443.*truncated"):
        parse_binary(BINARY[:-1], "train.bin", 6, 2, 20)
    with pytest.raises(ValueError, match=r"Labels of train.bin must lie in 0\.\.19; image 0 has 77.*altered"):
        parse_binary(b"\x4d" + BINARY[1:], "train.bin", 6, 2, 20)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("as_bytes", [True, False])
def test_pickled_batches(protocol, as_bytes):
    batch = {"data": IMAGES, "coarse_labels": COARSE.tolist(), "filenames": ["a.png"]}
    content = pickle.dumps({k.encode(): v for k, v in batch.items()} if as_bytes else batch, protocol=protocol)
    images, labels = parse_pickle(content, "train", 6, b"coarse_labels", 20)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, COARSE)


class Hostile:
    def __reduce__(self):
        return print, ("this must not run",)


def test_hostile_pickle_is_refused_and_not_run(capsys):
    with pytest.raises(ValueError, match=r"it names builtins\.print, which no CIFAR batch holds"):
        parse_pickle(pickle.dumps({b"data": Hostile()}), "train", 6, b"coarse_labels", 20)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1], "a dictionary of more than .* cannot be read"),
        ({b"data": IMAGES}, "train must hold 'coarse_labels'; found"),
        ({b"data": IMAGES.astype(float), b"coarse_labels": [0] * 6}, "it must be of bytes; got 'f8'"),
        ({b"data": IMAGES, b"coarse_labels": [2**70] * 6}, "must be a list of 6 integers; found 6"),
        ({b"data": IMAGES, b"coarse_labels": [2**7000] * 6}, "has the opcode LONG4, which no CIFAR batch needs"),
        (
            {b"data": IMAGES[:3], b"coarse_labels": [0] * 6},
            r"'data' of train must be uint8 of shape \(6, 3072\); found",
        ),
        ({b"data": IMAGES, b"coarse_labels": [0] * 5}, "must be a list of 6 integers; found 5"),
        ({b"data": IMAGES, b"coarse_labels": [20] * 6}, "image 0 has 20"),
    ],
)
def test_altered_pickles(batch, message):
    with pytest.raises(ValueError, match=message):
        parse_pickle(pickle.dumps(batch), "train", 6, b"coarse_labels", 20)


def test_truncated_pickle():
    with pytest.raises(ValueError, match="its 100 bytes cannot be read"):
        parse_pickle(pickle.dumps({b"data": IMAGES})[:100], "train", 6, b"coarse_labels", 20)


def nested(depth):
    """Return a pickle of a dictionary whose key is a tuple of two tuples of two tuples ..., each stored once."""
    steps = b"".join(
        pickle.BINGET + bytes([n]) + pickle.BINGET + bytes([n]) + pickle.TUPLE2 + pickle.BINPUT + bytes([n + 1])
        for n in range(depth)
    )
    return b"\x80\x02}(" + pickle.EMPTY_TUPLE + pickle.BINPUT + b"\0" + steps + b"K\x01u."


HOSTILE = {
    "places": (b"\x80\x02}r" + (2**32 - 1).to_bytes(4, "little") + b".", "more than 1,000,000 opcodes or 20 tuples"),
    "tuples": (nested(60), "more than 1,000,000 opcodes or 20 tuples"),
    "opcodes": (b"\x80\x02](" + b"K\x01" * 1_000_001 + b"e.", "more than 1,000,000 opcodes or 20 tuples"),
    "copies": (b"\x80\x02}22.", "opcode DUP, which no CIFAR batch needs"),
    "persistent": (b"Pname\n.", "opcode PERSID, which no CIFAR batch needs"),
    "array": (b"\x80\x02}U\x04datacnumpy\nndarray\n(\x8a\x06\0\0\0\0\0\x01tRs.", "cannot be read"),
    "attributes": (b"\x80\x02}cnumpy\nndarray\n(N}U\x05state\x8a\x01\x01stbs.", "cannot be read"),
    "codec": (b"\x80\x02}c_codecs\nencode\n(U\x01aU\x03rottRK\x01s.", "asks for a codec"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_pickles_that_would_fill_memory_or_time(name):
    content, reason = HOSTILE[name]
    with pytest.raises(ValueError, match=rf"^train must be a pickled CIFAR batch.*{reason}"):
        parse_pickle(content, "train", 6, b"coarse_labels", 20)


def test_pickles_as_python_2_wrote_them():
    """What a batch of two bytes looks like: text is bytes, and NumPy's module has its old name."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\nq\x02(K\x00tU\x01btRq\x03(K\x01(K\x01M\x00\x0ct"
        b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T\x00\x0c\x00\x00" + IMAGES[0].tobytes() + b"tb"
    )
    content = b"\x80\x02}q\x00(U\x04data" + array + b"U\x0dcoarse_labels](K\x05eu."
    images, labels = parse_pickle(content, "train", 1, b"coarse_labels", 20)
    np.testing.assert_array_equal(images, IMAGES[:1])
    assert labels.tolist() == [5]


def test_archive_and_damaged_archive(tmp_path):
    path = tmp_path / "cifar-100-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("cifar-100-binary/train.bin")
        member.size = len(BINARY)
        archive.addfile(member, io.BytesIO(BINARY))
    layout, place = find_layout(tmp_path, "cifar100", "train")
    assert (layout.folder, place) == ("cifar-100-binary", path)
    np.testing.assert_array_equal(read_split(SMALL_LAYOUT, path, "train")[0], IMAGES)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(
        ValueError,
        match=r"must be a whole archive with .*; got .*cifar-100-binary\.tar\.gz, .* ends after [\d,]+ bytes",
    ):
        read_split(SMALL_LAYOUT, path, "train")


def write_tiles(folder, images, labels, digest):
    """Write the lossless tile layout: PNG tiles in .npz shards beside a manifest."""
    manifest = {"cifar100-fine-to-coarse": [label % 20 for label in range(100)]}
    for split in ("train", "test"):
        buffer = io.BytesIO()
        pixels = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        Image.fromarray(pixels.reshape(-1, 32, 3)).save(buffer, "PNG")
        np.savez(folder / f"cifar100-{split}-0.npz", labels=labels, tile0=np.frombuffer(buffer.getvalue(), np.uint8))
        manifest[f"cifar100-{split}"] = {"shards": 1, "sha256_of_uint8_rows": digest}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("change", ["pixel", "label", "none"])
def test_altered_images_are_refused_whatever_they_are_from(change, tmp_path, monkeypatch):
    """The SHA-256 of the records is the same in any order, and another one for any other pixel or label."""
    monkeypatch.setitem(LAYOUTS, "cifar100", (replace(SMALL_LAYOUT, files={s: ((f"{s}.bin", 6),) for s in SPLITS}),))
    for split in SPLITS:
        monkeypatch.setitem(data.RECORDS, ("cifar100", split), digest_of_records(IMAGES, COARSE))
    records = np.frombuffer(BINARY, np.uint8).reshape(6, -1)[::-1].copy()
    records[2, {"pixel": 2000, "label": 0, "none": 1}[change]] ^= 1
    for split in SPLITS:
        (tmp_path / f"{split}.bin").write_bytes(records.tobytes())
    if change == "none":  # of the labels that are not used
        np.testing.assert_array_equal(load_images("cifar100", tmp_path).train[0], IMAGES[::-1])
    else:
        with pytest.raises(ValueError, match=rf"{tmp_path} must hold the train images .* SHA-256 is another one"):
            load_images("cifar100", tmp_path)


@pytest.mark.usefixtures("published")
def test_tiles(tmp_path):
    write_tiles(tmp_path, IMAGES, FINE + 20, DIGEST)
    images = load_images("cifar100", tmp_path)
    np.testing.assert_array_equal(images.train[0], IMAGES)
    np.testing.assert_array_equal(images.test[1], COARSE)
    assert (images.title, images.num_classes) == ("CIFAR-100, coarse labels", 20)


@pytest.mark.parametrize(
    ("labels", "digest", "message"),
    [
        (FINE, "0" * 64, r"images of .*cifar100-train-\*\.npz do not match manifest.json"),
        (FINE[:-1], DIGEST, r"must hold a label an image, 6; found 5"),
        (FINE + 100, DIGEST, r"Labels of .*cifar100-train-\*\.npz must lie in 0\.\.99; image 0 has"),
    ],
)
def test_altered_tiles(tmp_path, labels, digest, message):
    write_tiles(tmp_path, IMAGES, labels, digest)
    with pytest.raises(ValueError, match=message):
        load_images("cifar100", tmp_path)


@pytest.mark.parametrize("kept", [0, 100, 2000, -1])
@pytest.mark.usefixtures("published")
def test_truncated_tiles(tmp_path, kept):
    write_tiles(tmp_path, IMAGES, FINE, DIGEST)
    path = tmp_path / "cifar100-test-0.npz"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"must be in whole shards .*; got .*cifar100-test-0\.npz"):
        load_images("cifar100", tmp_path)


@pytest.mark.usefixtures("published")
def test_missing_tiles(tmp_path):
    write_tiles(tmp_path, IMAGES, FINE, DIGEST)
    (tmp_path / "cifar100-test-0.npz").unlink()
    with pytest.raises(ValueError, match=r"cifar100-test-0\.npz is missing; .* holds only a part"):
        load_images("cifar100", tmp_path)


ENTRY = {"shards": 1, "sha256_of_uint8_rows": DIGEST}
SHARDS = json.dumps({"cifar100-train": {**ENTRY, "shards": 10**9}, "cifar100-fine-to-coarse": [0] * 100})
CLASSES = json.dumps({"cifar100-train": ENTRY, "cifar100-fine-to-coarse": [0] * 99})


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"cifar100-fine-to-coarse": [1]}', "[" * 50_000, '{"cifar100-train": 1}', SHARDS, CLASSES]
)
def test_damaged_manifest(tmp_path, content):
    write_tiles(tmp_path, IMAGES, FINE, DIGEST)
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"must be a JSON file that describes cifar100-train; got .*manifest\.json"):
        load_images("cifar100", tmp_path)


def test_a_named_folder_without_data_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"--data must be a folder with CIFAR-100, .* found none in"):
        load_images("cifar100", tmp_path)
    monkeypatch.setenv("HESSDENS_DATA", str(tmp_path / "gone"))
    with pytest.raises(ValueError, match=r"HESSDENS_DATA must be a folder .*; there is no folder .*gone"):
        load_images("cifar100")


@pytest.mark.usefixtures("published")
def test_found_folder_comes_before_the_network(tmp_path, monkeypatch):
    write_tiles(tmp_path, IMAGES, FINE, DIGEST)
    monkeypatch.setenv("HESSDENS_DATA", str(tmp_path))
    monkeypatch.setattr(data, "_download", lambda name: pytest.fail("downloaded"))
    assert load_images("cifar100").title == "CIFAR-100, coarse labels"


def test_without_data_and_network_the_digits_are_used_and_it_is_said(monkeypatch, capsys):
    def refuse(*arguments, **keywords):
        raise OSError("no network")

    monkeypatch.setattr(data, "usual_places", list)
    monkeypatch.setattr("pooch.retrieve", refuse)
    images = load_images("cifar100")
    assert images.title == "digits (scikit-learn), not CIFAR"
    assert "could not be downloaded: no network" in (err := capsys.readouterr().err)
    assert "do not reproduce the paper" in err


def test_digits():
    images = load_digits()
    assert (images.train[0].shape, images.test[0].shape) == ((1438, 64), (359, 64))
    assert (images.train[0].max(), images.num_classes) == (255, 10)


def test_mirror_images_and_scaling():
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 12) * 20
    images = Images("t", (2, 2, 3), 2, (pixels, np.array([1])), (pixels, np.array([1])))
    train = prepare(images, scaling="unit").train
    np.testing.assert_allclose(train[0][0] * 255, pixels[0])
    mirrored = pixels.reshape(2, 2, 3)[:, :, ::-1].reshape(-1)
    np.testing.assert_allclose(train[0][1] * 255, mirrored, rtol=1e-6)
    assert train[1].tolist() == [1, 1]
    digits = load_digits()
    centred = prepare(digits, num_train=100)
    assert len(centred.train[0]) == 200
    np.testing.assert_allclose(centred.train[0].mean(dim=0), 0, atol=1e-6)
    assert centred.test[0].mean().abs() < 0.1, "the test images are less the training mean"
    standard = prepare(digits, scaling="standardised").train[0]
    spread = standard.std(dim=0)
    assert ((spread - 1).abs() < 1e-3).float().mean() > 0.8


def test_principal_components_against_singular_vectors():
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 4, 3, 2, 1, 0.5]) + 3
    basis = principal_components(rows, 3)
    _, _, vectors = np.linalg.svd((rows - rows.mean(dim=0)).numpy(), full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(basis.numpy().T * vectors[:3], axis=1)), 1, rtol=1e-4)
    assert prepare(load_digits(), num_components=128).num_inputs == 64


def picture(width, height, mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, "PNG")
    return np.frombuffer(buffer.getvalue(), np.uint8)


@pytest.mark.parametrize(
    ("tiles", "reason"),
    [
        ({"tile0": picture(32, 32 * 101)}, "32 x 32 colour pixels, 100 at most; got 32 x 3232"),
        ({"tile0": picture(32, 32 * 99), "tile1": picture(32, 64)}, "32 x 32 colour pixels, 1 at most; got 32 x 64"),
        ({"tile0": picture(64, 64)}, "32 x 32 colour pixels, 100 at most; got 64 x 64"),
        ({"tile0": picture(32, 32, "L")}, "32 x 32 colour pixels"),
        ({"tile0": np.zeros(9, np.uint8)}, "cannot identify image"),
        ({}, "cannot be read"),
    ],
)
def test_tiles_of_other_sizes_are_refused_before_they_are_unpacked(tiles, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar_tiles, "MOST_IMAGES", 100)
    write_tiles(tmp_path, IMAGES, FINE, DIGEST)
    np.savez(tmp_path / "cifar100-train-0.npz", labels=FINE, **tiles)
    with pytest.raises(ValueError, match=rf"got .*cifar100-train-0\.npz, which .*{reason}"):
        load_images("cifar100", tmp_path)


def test_downloads_are_by_https_and_sha256(tmp_path, monkeypatch):
    asked = []
    monkeypatch.delenv("HESSDENS_OFFLINE", raising=False)
    monkeypatch.setattr(
        "pooch.retrieve", lambda address, known_hash, **_: asked.append((address, known_hash)) or tmp_path
    )
    for name, (archive, digest) in data.ARCHIVES.items():
        assert data._download(name) == tmp_path
        assert asked[-1] == (f"https://www.cs.toronto.edu/~kriz/{archive}", f"sha256:{digest}")
        assert len(digest) == 64
    with pytest.raises(ValueError, match="must begin with https://; got http://x/y"):
        data.download("http://x/y", "0" * 64)


@pytest.mark.data
def test_real_cifar():
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder shared/data beside the repository")
    images = load_images("cifar100", folder)
    assert images.train[0].shape == (50_000, 3072)
    assert images.test[0].shape == (10_000, 3072)
    assert np.bincount(images.train[1]).tolist() == [2500] * 20, "coarse classes are balanced"
