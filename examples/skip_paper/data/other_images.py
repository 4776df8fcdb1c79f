"""SVHN, STL-10 and Fashion-MNIST in their official formats, and what stands in where they cannot be had."""

import hashlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from hessdens.results.files import reading
from skip_paper.data import images as data
from skip_paper.data.archives import AGAIN, read_archive, unpacked
from skip_paper.data.cifar_files import Split, checked_labels
from skip_paper.data.images import Images

Reader = Callable[[Path, str], Split]
# What files unpack to at most: STL-10 has 3 GB, of which most is passed over.
MOST_STL10 = 2**32
MOST_IDX = 2**26


@dataclass(frozen=True)
class Source:
    """One data set: its title, image shape, the address of its files, and how a split is read.

    ``files`` has the SHA-256 of each as it is downloaded, and of what is checked wherever it is from: of the file
    itself, or of what it unpacks to.
    """

    title: str
    shape: tuple[int, int, int]
    address: str
    files: dict[str, tuple[str, str]]
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
        paths = [data.download(source.address + file, digests[0]) for file, digests in source.files.items()]
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


def check_digest(file: BinaryIO, path: Path, name: str) -> None:
    """Raise ValueError unless the SHA-256 of what a file holds is that of what the authors of a data set published."""
    if hashlib.file_digest(file, "sha256").hexdigest() != SOURCES[name].files[path.name][1]:
        raise ValueError("its SHA-256 is another one than that of what was published")


def _read_svhn(folder: Path, split: str) -> Split:
    """Return a split of SVHN, cropped digits: a MATLAB file with X, shape (32, 32, 3, n), and y, 10 for the digit 0."""
    from scipy.io import loadmat

    path = folder / f"{split}_32x32.mat"
    with reading(path, "SVHN must be a MATLAB file of version 5, as published", AGAIN) as file:
        check_digest(file, path, "svhn")
        file.seek(0)
        content = loadmat(file, variable_names=["X", "y"])
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
    names = [f"stl10_binary/{split}_{kind}.bin" for kind in "Xy"]
    with reading(archive, "STL-10 must be the archive as published", AGAIN) as file:
        check_digest(file, archive, "stl10")
    pixels, labels = read_archive(archive, names, MOST_STL10).values()
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
    content = unpacked(path, MOST_IDX)
    with reading(path, "Fashion-MNIST must be as published", AGAIN):
        check_digest(io.BytesIO(content), path, "fashion-mnist")
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


def _whole(digest: str) -> tuple[str, str]:
    """Return digests of a file that is checked as it was published."""
    return digest, digest


# Addresses and SHA-256 as TensorFlow Datasets has them; of what Fashion-MNIST unpacks to, as in Debian's package, whose
# files are compressed anew.
SOURCES = {
    "svhn": Source(
        "SVHN",
        (3, 32, 32),
        "https://ufldl.stanford.edu/housenumbers/",
        {
            "train_32x32.mat": _whole("435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
            "test_32x32.mat": _whole("cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
        },
        _read_svhn,
    ),
    "stl10": Source(
        "STL-10, reduced to 32 x 32",
        (3, 32, 32),
        "https://ai.stanford.edu/~acoates/stl10/",
        {STL10: _whole("f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866")},
        _read_stl10,
    ),
    "fashion-mnist": Source(
        "Fashion-MNIST",
        (1, 28, 28),
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        {
            "train-images-idx3-ubyte.gz": (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            "train-labels-idx1-ubyte.gz": (
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            "t10k-images-idx3-ubyte.gz": (
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        },
        _read_fashion,
    ),
}
