"""CIFAR-10 and CIFAR-100 as their authors publish them: binary and python versions, as folders or .tar.gz files."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skip_paper.data.archives import read_archive
from skip_paper.data.cifar_pickles import ForbiddenPickleError, StoredArray, load_batch

PIXELS = 3 * 32 * 32
# Of an archive, unpacked, and of a file. The largest archive has 187 MB; a reader takes twice this much.
MOST_BYTES = 2**28
Split = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True)
class Layout:
    """Where one version of one data set keeps its records.

    Parameters
    ----------
    folder
        Name of the unpacked folder; the archive is named after ``archive``.
    files
        Split -> (file name, number of images) of each file.
    labels
        Binary version: number of label bytes per record; the first is the label that is used.
        Python version: the key of the labels.
    num_classes
        Labels run from 0 to ``num_classes`` - 1.
    """

    folder: str
    archive: str
    files: dict[str, tuple[tuple[str, int], ...]]
    labels: int | bytes
    num_classes: int


def _five(name: str) -> tuple[tuple[str, int], ...]:
    return tuple((name.format(i), 10_000) for i in range(1, 6))


# Coarse labels of CIFAR-100, as in the paper.
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "cifar100": (
        Layout(
            "cifar-100-binary",
            "cifar-100-binary.tar.gz",
            {"train": (("train.bin", 50_000),), "test": (("test.bin", 10_000),)},
            2,
            20,
        ),
        Layout(
            "cifar-100-python",
            "cifar-100-python.tar.gz",
            {"train": (("train", 50_000),), "test": (("test", 10_000),)},
            b"coarse_labels",
            20,
        ),
    ),
    "cifar10": (
        Layout(
            "cifar-10-batches-bin",
            "cifar-10-binary.tar.gz",
            {"train": _five("data_batch_{}.bin"), "test": (("test_batch.bin", 10_000),)},
            1,
            10,
        ),
        Layout(
            "cifar-10-batches-py",
            "cifar-10-python.tar.gz",
            {"train": _five("data_batch_{}"), "test": (("test_batch", 10_000),)},
            b"labels",
            10,
        ),
    ),
}


def find_layout(directory: Path, name: str, split: str) -> tuple[Layout, Path] | None:
    """Return the first version found in ``directory``, and its folder or archive; None if there is none.

    A version may lie in its official folder, in ``directory`` itself, or in its official .tar.gz file.
    """
    for layout in LAYOUTS[name]:
        first = layout.files[split][0][0]
        for folder in (directory / layout.folder, directory):
            if (folder / first).is_file():
                return layout, folder
        if (directory / layout.archive).is_file():
            return layout, directory / layout.archive
    return None


def read_split(layout: Layout, place: Path, split: str) -> Split:
    """Return images, shape (n, 3072), channel first, and labels, shape (n,).

    Raises
    ------
    ValueError
        If a file is missing, truncated, altered or made to fill the memory; the message names it.
    """
    names = {f"{layout.folder}/{name}": name for name, _ in layout.files[split]}
    read = _folder_reader(place)
    if not place.is_dir():
        members = {names[name]: content for name, content in read_archive(place, names, MOST_BYTES).items()}
        read = members.__getitem__
    images, labels = [], []
    for name, count in layout.files[split]:
        content, label = read(name), f"{place / name}"
        parse = parse_binary if isinstance(layout.labels, int) else parse_pickle
        batch = parse(content, label, count, layout.labels, layout.num_classes)  # type: ignore[arg-type]
        images.append(batch[0])
        labels.append(batch[1])
    return np.concatenate(images), np.concatenate(labels)


def parse_binary(content: bytes, name: str, count: int, label_bytes: int, num_classes: int) -> Split:
    """Return images and labels of a file of the binary version: records of label bytes and 3072 pixel bytes."""
    expected = count * (label_bytes + PIXELS)
    if len(content) != expected:
        raise ValueError(
            f"{name} must have {expected:,} bytes ({count:,} images); it has {len(content):,}. "
            "It is truncated or altered: fetch it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(count, label_bytes + PIXELS)
    labels = checked_labels(records[:, 0], name, num_classes)
    return np.ascontiguousarray(records[:, label_bytes:]), labels


def parse_pickle(content: bytes, name: str, count: int, key: bytes, num_classes: int) -> Split:
    """Return images and labels of a file of the python version: a pickled dictionary of an array and lists."""
    try:
        batch = load_batch(content)
        arrays = {key: value.read() for key, value in batch.items() if isinstance(value, StoredArray)}
    except ForbiddenPickleError as error:
        raise ValueError(f"{name} must be a pickled CIFAR batch: {error}") from None
    except Exception as error:
        # A damaged pickle can raise nearly anything.
        raise ValueError(
            f"{name} must be a pickled CIFAR batch of {count:,} images, a dictionary of more than "
            f"{count * PIXELS:,} bytes; its {len(content):,} bytes cannot be read "
            f"({type(error).__name__}: {error}). It is truncated or altered: fetch it again."
        ) from error
    images, labels = _entry({**batch, **arrays}, b"data", name), _entry(batch, key, name)
    if not isinstance(images, np.ndarray) or images.shape != (count, PIXELS):
        found = images.shape if isinstance(images, np.ndarray) else type(images).__name__
        raise ValueError(f"'data' of {name} must be uint8 of shape {(count, PIXELS)}; found {found}.")
    is_list = isinstance(labels, list) and all(type(label) is int and label.bit_length() < 32 for label in labels)
    if not is_list or len(labels) != count:
        size = len(labels) if isinstance(labels, list) else type(labels).__name__
        raise ValueError(f"{key.decode()!r} of {name} must be a list of {count:,} integers; found {size}.")
    return np.ascontiguousarray(images), checked_labels(labels, name, num_classes)


def _entry(batch: dict[Any, Any], key: bytes, name: str) -> Any:
    """Return an entry under its key as bytes (Python 2) or text (Python 3)."""
    for candidate in (key, key.decode()):
        if candidate in batch:
            return batch[candidate]
    raise ValueError(f"{name} must hold {key.decode()!r}; found {len(batch)} others.")


def checked_labels(labels: Any, name: str, num_classes: int) -> NDArray[np.int64]:
    """Return labels as integers; ValueError, naming the file and the first image, if one is out of range."""
    labels = np.asarray(labels)
    wrong = np.flatnonzero(~np.isin(labels, np.arange(num_classes)))
    if len(wrong):
        raise ValueError(
            f"Labels of {name} must lie in 0..{num_classes - 1}; image {wrong[0]} has {labels[wrong[0]]}. "
            "The file is altered: fetch it again."
        )
    return labels.astype(np.int64)


def digest_of_records(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    """Return the SHA-256 of all images, each after its label as one byte, in whichever order they are.

    It is that of the SHA-256 of each, in ascending order.
    """
    records = np.column_stack([labels.astype(np.uint8), images])
    return hashlib.sha256(b"".join(sorted(hashlib.sha256(record).digest() for record in records))).hexdigest()


def _folder_reader(folder: Path) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name} is missing; {folder} holds only a part of the data set.")
        if (folder / name).stat().st_size > MOST_BYTES:
            raise ValueError(f"{folder / name} must have {MOST_BYTES:,} bytes at most: it is no file of CIFAR.")
        return (folder / name).read_bytes()

    return read
