"""SVHN, STL-10 and Fashion-MNIST in their official formats, and what stands in where they cannot be had."""

import gzip
import io
import sys
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skip_paper import data
from skip_paper.cifar_files import Split, checked_labels
from skip_paper.data import Images

Reader = Callable[[Path, str], Split]
AGAIN = "It is truncated or altered: fetch it again."


@dataclass(frozen=True)
class Source:
    """One data set: its title, image shape, the address and md5 of each of its files, and how a split is read."""

    title: str
    shape: tuple[int, int, int]
    address: str
    files: dict[str, str]
    read: Reader


def load_substitute(name: str, directory: Path | None = None) -> Images:
    """Return "svhn", "stl10" or "fashion-mnist"; else Fashion-MNIST; else scikit-learn's digits.

    Each is looked for in ``directory``, HESSDENS_DATA and the usual places, and downloaded where it is in none. The
    title says what stands in for what, and a notice is printed.

    Raises
    ------
    ValueError
        If a file that is found is damaged.
    """
    for candidate in dict.fromkeys((name, "fashion-mnist")):
        images = _find(candidate, directory)
        if images is not None:
            return images if candidate == name else _instead(images, name)
    return _instead(data.load_digits(), name)


def _find(name: str, directory: Path | None) -> Images | None:
    """Return a data set that is found or downloaded; None, with a notice, if neither."""
    source = SOURCES[name]
    named = data.named_place(directory)
    places = ([named[1]] if named else []) + data.usual_places()
    for place in places:
        folder = next((f for f in (place, place / name) if all((f / file).is_file() for file in source.files)), None)
        if folder is not None:
            return _images(source, folder)
    try:
        paths = [data.download(source.address + file, f"md5:{md5}") for file, md5 in source.files.items()]
    except Exception as error:
        # Whatever kind of failure the network has: the user is told, and gets real images all the same.
        print(f"\n*** {source.title} was not found and could not be downloaded: {error}", file=sys.stderr)
        return None
    return _images(source, paths[0].parent)


def _images(source: Source, folder: Path) -> Images:
    return Images(source.title, source.shape, 10, source.read(folder, "train"), source.read(folder, "test"))


def _instead(images: Images, name: str) -> Images:
    title = f"{images.title}, in place of {SOURCES[name].title}"
    print(f"*** Using {title}.\n", file=sys.stderr)
    return replace(images, title=title)


def _read_svhn(folder: Path, split: str) -> Split:
    """Return a split of SVHN, cropped digits: a MATLAB file with X, shape (32, 32, 3, n), and y, 10 for the digit 0."""
    from scipy.io import loadmat

    path = folder / f"{split}_32x32.mat"
    try:
        content = loadmat(path, variable_names=["X", "y"])
    except Exception as error:  # of a damaged file: nearly any
        raise ValueError(f"{path} must be a MATLAB file of version 5; reading it failed: {error}. {AGAIN}") from error
    if not {"X", "y"} <= content.keys():
        raise ValueError(f"{path} must hold X and y; found {sorted(k for k in content if k[0] != '_')}. {AGAIN}")
    pixels, labels = content["X"], np.ravel(content["y"])
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[:3] != (32, 32, 3):
        raise ValueError(
            f"X of {path} must be bytes of shape (32, 32, 3, n); got {pixels.dtype}, {pixels.shape}. {AGAIN}"
        )
    rows = np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)).reshape(pixels.shape[3], -1)
    if labels.dtype.kind not in "iuf":
        raise ValueError(f"y of {path} must be numbers; got {labels.dtype}. {AGAIN}")
    ones = _paired(rows, checked_labels(labels - 1.0, str(path), 10), path)[1]
    return rows, (ones + 1) % 10


def _read_stl10(folder: Path, split: str) -> Split:
    """Return a split of STL-10, 96 x 96 pixels averaged over 3 x 3 to 32 x 32 (the paper does not say how).

    Files hold bytes, channel first and each channel column by column, and labels from 1 to 10.
    """
    archive = folder / STL10
    pixels, labels = (_member(archive, f"stl10_binary/{split}_{kind}.bin") for kind in "Xy")
    size = 3 * 96 * 96
    if not len(pixels) or len(pixels) % size:
        raise ValueError(
            f"{split}_X.bin of {archive} must be images of {size:,} bytes; got {len(pixels):,} bytes. {AGAIN}"
        )
    columns = np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 3, 32, 3)  # image, channel, column, row
    averages = columns.mean(axis=(3, 5)).transpose(0, 1, 3, 2)
    rows = np.round(averages).astype(np.uint8).reshape(len(averages), -1)
    classes = checked_labels(np.frombuffer(labels, np.uint8).astype(np.int64) - 1, f"{archive}, {split}_y.bin", 10)
    return _paired(rows, classes, archive)


def _member(archive: Path, name: str) -> bytes:
    """Return one file of an archive, which is never unpacked to disk."""
    try:
        with tarfile.open(archive, "r:*") as members:
            for member in members:
                stream = members.extractfile(member) if member.name.removeprefix("./") == name else None
                if stream is not None:
                    return stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{archive} must be a whole archive; reading it failed: {error}. {AGAIN}") from error
    raise ValueError(f"{archive} must hold {name}; it does not. {AGAIN}")


def _read_fashion(folder: Path, split: str) -> Split:
    """Return a split of Fashion-MNIST: IDX files, compressed."""
    prefix = {"train": "train", "test": "t10k"}[split]
    images = _idx(folder / f"{prefix}-images-idx3-ubyte.gz", 3)
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{folder / prefix}-images must be 28 x 28 pixels; got {images.shape[1:]}. {AGAIN}")
    path = folder / f"{prefix}-labels-idx1-ubyte.gz"
    return _paired(images.reshape(len(images), -1), checked_labels(_idx(path, 1), str(path), 10), path)


def _idx(path: Path, num_axes: int) -> NDArray[np.uint8]:
    """Return an IDX file of bytes: two zeros, type 8, number of axes, their lengths (big-endian), and the bytes."""
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(path.read_bytes())).read()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} must be a whole gzip file; reading it failed: {error}. {AGAIN}") from error
    start = 4 + 4 * num_axes
    if content[:4] != bytes((0, 0, 8, num_axes)) or len(content) < start:
        raise ValueError(
            f"{path} must begin with the number 0x{8 * 256 + num_axes:08x}; got 0x{content[:4].hex()}. {AGAIN}"
        )
    shape = tuple(int(length) for length in np.frombuffer(content[4:start], ">u4"))
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - start != expected:
        raise ValueError(f"{path} must hold {expected:,} bytes of content; got {len(content) - start:,}. {AGAIN}")
    return np.frombuffer(content[start:], np.uint8).reshape(shape)


def _paired(rows: NDArray[np.uint8], labels: NDArray[np.int64], path: Path) -> Split:
    if len(rows) != len(labels):
        raise ValueError(
            f"{path} must belong to as many labels as images; got {len(labels):,} and {len(rows):,}. {AGAIN}"
        )
    return rows, labels


STL10 = "stl10_binary.tar.gz"
# Addresses as the authors publish them. Checksums: those of torchvision's data sets; Fashion-MNIST's are also on the
# page of its authors.
SOURCES = {
    "svhn": Source(
        "SVHN",
        (3, 32, 32),
        "http://ufldl.stanford.edu/housenumbers/",
        {
            "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
            "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
        },
        _read_svhn,
    ),
    "stl10": Source(
        "STL-10, reduced to 32 x 32",
        (3, 32, 32),
        "http://ai.stanford.edu/~acoates/stl10/",
        {STL10: "91f7769df0f17e558f3565bffb0c7dfb"},
        _read_stl10,
    ),
    "fashion-mnist": Source(
        "Fashion-MNIST",
        (1, 28, 28),
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        _read_fashion,
    ),
}
