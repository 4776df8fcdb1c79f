"""CIFAR stored losslessly as PNG tiles in .npz shards, beside a manifest with checksums."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from skip_paper.cifar_files import PIXELS, Split


def has_tiles(directory: Path, name: str) -> bool:
    """Return whether ``directory`` holds the shards of this data set."""
    return (directory / "manifest.json").is_file() and (directory / f"{name}-train-0.npz").is_file()


def read_tiles(directory: Path, name: str, split: str) -> Split:
    """Return images, shape (n, 3072), channel first, and labels (CIFAR-100: coarse), checked against the manifest."""
    manifest = json.loads((directory / "manifest.json").read_text())
    entry = manifest[f"{name}-{split}"]
    rows, labels = [], []
    for shard in range(entry["shards"]):
        path = directory / f"{name}-{split}-{shard}.npz"
        if not path.is_file():
            raise ValueError(f"{path} is missing; {directory} holds only a part of the data set.")
        with np.load(path, allow_pickle=False) as archive:
            labels.append(archive["labels"].astype(np.int64))
            for key in sorted(key for key in archive.files if key.startswith("tile")):
                tile = np.asarray(Image.open(io.BytesIO(archive[key].tobytes())))
                rows.append(tile.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2).reshape(-1, PIXELS))
    images, classes = np.ascontiguousarray(np.concatenate(rows)), np.concatenate(labels)
    if hashlib.sha256(images.tobytes()).hexdigest() != entry["sha256_of_uint8_rows"]:
        raise ValueError(f"The images of {name}-{split} in {directory} do not match manifest.json: fetch them again.")
    return images, np.array(manifest["cifar100-fine-to-coarse"])[classes] if name == "cifar100" else classes
