"""CIFAR stored losslessly as PNG or WebP tiles in .npz shards, with a manifest with checksums."""

import hashlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hessdens.results.files import MOST_JSON, json_object, reading
from hessdens.results.members import read_members
from hessdens.results.storage import take
from skip_paper.data.archives import AGAIN
from skip_paper.data.cifar_files import PIXELS, Split, checked_labels

NUM_CLASSES = {"cifar100": 100, "cifar10": 10}
# Of a split; so many images have 150 MB.
MOST_SHARDS = 100
MOST_IMAGES = 50_000


def has_tiles(directory: Path, name: str) -> bool:
    """Return whether ``directory`` holds the shards of this data set."""
    return (directory / "manifest.json").is_file() and (directory / f"{name}-train-0.npz").is_file()


def read_tiles(directory: Path, name: str, split: str) -> Split:
    """Return images, shape (n, 3072), channel first, and labels (CIFAR-100: coarse), checked against the manifest.

    Raises
    ------
    ValueError
        If a file is missing, truncated, altered or made to fill the memory; the message names it.
    """
    count, digest, fine_to_coarse = _manifest_entry(directory / "manifest.json", name, split)
    shards: list[Split] = []
    for shard in range(count):
        room = MOST_IMAGES - sum(len(rows) for rows, _ in shards)
        shards.append(_read_shard(directory / f"{name}-{split}-{shard}.npz", room))
    images = np.ascontiguousarray(np.concatenate([rows for rows, _ in shards]))
    labels = np.concatenate([classes for _, classes in shards])
    place = f"{directory / name}-{split}-*.npz"
    if hashlib.sha256(images).hexdigest() != digest:
        raise ValueError(f"The images of {place} do not match manifest.json: fetch them again.")
    if len(labels) != len(images):
        raise ValueError(f"{place} must hold a label an image, {len(images):,}; found {len(labels):,}.")
    classes = checked_labels(labels, place, NUM_CLASSES[name])
    return images, classes if fine_to_coarse is None else fine_to_coarse[classes]


def _manifest_entry(path: Path, name: str, split: str) -> tuple[int, str, NDArray[np.int64] | None]:
    """Return a split's number of shards and digest and, for CIFAR-100, the coarse class of each fine one."""
    with reading(path, f"A manifest must be a JSON file that describes {name}-{split}", AGAIN) as file:
        manifest = json_object(file.read(MOST_JSON + 1))
        entry, mapping = manifest[f"{name}-{split}"], None
        count, digest = entry["shards"], entry["sha256_of_uint8_rows"]
        if type(count) is not int or not 0 < count <= MOST_SHARDS:
            raise ValueError(f"it must have from 1 to {MOST_SHARDS} shards; it has {count!r:.20}")
        if name == "cifar100":
            mapping = checked_labels(manifest["cifar100-fine-to-coarse"], "coarse classes", 20)
            if mapping.shape != (100,):
                raise ValueError(f"it must give 100 fine classes a coarse one; got shape {mapping.shape}")
        return count, digest, mapping


def _read_shard(path: Path, room: int) -> Split:
    """Return the rows and labels of one shard, of at most so many images."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; {path.parent} holds only a part of the data set.")
    rule = "A data set must be in whole shards of pictures"
    arrays = read_members(path, rule, AGAIN)
    layout = {name: f"{name} count" for name in sorted(arrays) if name.startswith("tile")}
    arrays = take(arrays, {"labels": "N count", **layout}, path)
    rows: list[NDArray[np.uint8]] = []
    with reading(path, rule, AGAIN):
        for name in layout:
            rows.append(_tile(arrays[name], room - sum(map(len, rows))))
        return np.concatenate(rows), arrays["labels"]


def _tile(content: NDArray[np.uint8], room: int) -> NDArray[np.uint8]:
    """Return the images of a picture, one below the other, as rows: its size is known before it is unpacked."""
    with Image.open(io.BytesIO(content.tobytes()), formats=["PNG", "WEBP"]) as picture:
        width, height = picture.size
        if width != 32 or height % 32 or height > 32 * room or picture.mode != "RGB":
            raise ValueError(f"a tile must be of 32 x 32 colour pixels, {room:,} at most; got {width} x {height}")
        tile = np.asarray(picture)
    return tile.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2).reshape(-1, PIXELS)
