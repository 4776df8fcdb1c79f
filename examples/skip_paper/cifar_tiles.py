"""CIFAR stored losslessly as PNG tiles in .npz shards, with a manifest with checksums."""

import hashlib
import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skip_paper.cifar_files import PIXELS, Split, checked_labels

NUM_CLASSES = {"cifar100": 100, "cifar10": 10}


def has_tiles(directory: Path, name: str) -> bool:
    """Return whether ``directory`` holds the shards of this data set."""
    return (directory / "manifest.json").is_file() and (directory / f"{name}-train-0.npz").is_file()


def read_tiles(directory: Path, name: str, split: str) -> Split:
    """Return images, shape (n, 3072), channel first, and labels (CIFAR-100: coarse), checked against the manifest.

    Raises
    ------
    ValueError
        If a file is missing, truncated or altered; the message names it.
    """
    entry, fine_to_coarse = _manifest_entry(directory / "manifest.json", name, split)
    shards = [_read_shard(directory / f"{name}-{split}-{shard}.npz") for shard in range(entry["shards"])]
    images = np.ascontiguousarray(np.concatenate([rows for rows, _ in shards]))
    labels = np.concatenate([classes for _, classes in shards])
    place = f"{directory / name}-{split}-*.npz"
    if hashlib.sha256(images.tobytes()).hexdigest() != entry["sha256_of_uint8_rows"]:
        raise ValueError(f"The images of {place} do not match manifest.json: fetch them again.")
    if len(labels) != len(images):
        raise ValueError(f"{place} must hold a label an image, {len(images):,}; found {len(labels):,}.")
    classes = checked_labels(labels, place, NUM_CLASSES[name])
    return images, classes if fine_to_coarse is None else fine_to_coarse[classes]


def _manifest_entry(path: Path, name: str, split: str) -> tuple[dict[str, Any], NDArray[np.int64] | None]:
    """Return a split's entry and, for CIFAR-100, the coarse class of each fine one."""
    try:
        manifest = json.loads(path.read_text())
        mapping = np.array(manifest["cifar100-fine-to-coarse"], np.int64) if name == "cifar100" else None
        return manifest[f"{name}-{split}"], mapping
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{path} must be a JSON file that describes {name}-{split}; reading it failed ({error}). Fetch it again."
        ) from error


def _read_shard(path: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return the rows and labels of one shard."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; {path.parent} holds only a part of the data set.")
    rows = []
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            labels = archive["labels"]
            for key in sorted(key for key in archive.files if key.startswith("tile")):
                tile = np.asarray(Image.open(io.BytesIO(archive[key].tobytes())))
                rows.append(tile.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2).reshape(-1, PIXELS))
        return np.concatenate(rows), labels
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError) as error:
        # OSError: also what Pillow raises for a damaged picture.
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) must be a whole shard of PNG tiles; reading it failed "
            f"({type(error).__name__}: {error}). It is truncated or altered: fetch it again."
        ) from error
