"""Image data: found on disk, else downloaded, else scikit-learn's digits; mirrored, scaled and projected.

HESSDENS_DATA names a folder to look in, and HESSDENS_OFFLINE=1 forbids downloads.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skip_paper.data.cifar_files import LAYOUTS, Split, digest_of_records, find_layout, read_split
from skip_paper.data.cifar_tiles import has_tiles, read_tiles

Scaling = Literal["centred", "standardised", "unit"]
VARIABLE = "HESSDENS_DATA"
OFFLINE = "HESSDENS_OFFLINE"
REPOSITORY = Path(__file__).resolve().parents[3]
URL = "https://www.cs.toronto.edu/~kriz/"
# Archives of the page of URL, and their SHA-256 as TensorFlow Datasets has them.
ARCHIVES = {
    "cifar100": ("cifar-100-binary.tar.gz", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),
    "cifar10": ("cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
}
# `digest_of_records` of each split, with the labels that are used: the same for every version and order of the images.
RECORDS = {
    ("cifar100", "train"): "b5b6fcf546916c6470b6e39b9096a692da6bf691033f6c1374c30974bc29f2de",
    ("cifar100", "test"): "7d7869b9eb43140c90430485ef8f82d2b403ab2555afe7f00271acf415e741e4",
    ("cifar10", "train"): "55a61f79a40ece2ceda9fb5f9f7078f6ea2fc4952489cef56682bcf92cfcc260",
    ("cifar10", "test"): "325704b01eb92e1e2a6215ae6a916bb7db7de054af0c496be1c7be2e0fcfbf5f",
}
TITLES = {"cifar100": "CIFAR-100, coarse labels", "cifar10": "CIFAR-10"}
DIGITS_TITLE = "digits (scikit-learn), not CIFAR"


@dataclass(frozen=True)
class Images:
    """A data set as bytes: images of shape (n, channels * height * width), labels of shape (n,)."""

    title: str
    shape: tuple[int, int, int]
    num_classes: int
    train: tuple[NDArray[np.uint8], NDArray[np.int64]]
    test: tuple[NDArray[np.uint8], NDArray[np.int64]]

    @cached_property
    def fingerprint(self) -> str:
        """A checksum of all images and labels, in their order."""
        digest = hashlib.sha256()
        for part in (*self.train, *self.test):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Examples:
    """Network inputs (float32, shape (n, features)) and classes."""

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    @property
    def num_inputs(self) -> int:
        """Features of an input."""
        return self.train[0].shape[1]


def load_images(name: str, directory: Path | None = None) -> Images:
    """Return CIFAR from ``directory``, else found, else downloaded; else the digits that scikit-learn embeds.

    The environment variable HESSDENS_DATA names a directory as well as the argument does. Wherever the images are from,
    the SHA-256 of what was unpacked is compared with that of the true ones.

    Raises
    ------
    ValueError
        If a directory is named and does not hold the data set, or a file is damaged or altered.
    """
    named = named_place(directory)
    for place in [named[1]] if named else usual_places():
        found = _find(name, place)
        if found is not None:
            return found
    if named:
        raise ValueError(_nothing_found(name, *named))
    try:
        archive = _download(name)
    except Exception as error:
        # Whatever kind of failure the network has: the user is told, and gets real images all the same.
        print(f"\n*** {TITLES[name]} was not found and could not be downloaded: {error}", file=sys.stderr)
        print(f"*** Using {DIGITS_TITLE}: the figures do not reproduce the paper.\n", file=sys.stderr)
        return load_digits()
    found = _find(name, archive.parent)
    if found is None:
        raise ValueError(f"{archive} must hold {TITLES[name]}; it does not.")
    return found


def _find(name: str, place: Path) -> Images | None:
    """Return CIFAR from a folder, or None if it is not there."""
    splits: dict[str, Split] = {}
    layout = None if has_tiles(place, name) else find_layout(place, name, "train")
    for split in ("train", "test"):
        if layout is not None:
            splits[split] = read_split(*layout, split)
        elif has_tiles(place, name):
            splits[split] = read_tiles(place, name, split)
        else:
            return None
        if digest_of_records(*splits[split]) != RECORDS[name, split]:
            source = layout[1] if layout else place
            raise ValueError(
                f"{source} must hold the {split} images of {TITLES[name]} and their labels; their SHA-256 is another "
                "one: they are altered. Fetch them again."
            )
    return Images(TITLES[name], (3, 32, 32), {"cifar100": 20, "cifar10": 10}[name], **splits)


def load_digits() -> Images:
    """Return scikit-learn's 1,797 images of handwritten digits, 8 x 8, every fifth for testing."""
    from sklearn.datasets import load_digits as load

    digits = load()
    images = np.round(digits.images.reshape(-1, 64) * (255 / 16)).astype(np.uint8)
    test = np.arange(len(images)) % 5 == 4
    labels = digits.target.astype(np.int64)
    return Images(DIGITS_TITLE, (1, 8, 8), 10, (images[~test], labels[~test]), (images[test], labels[test]))


def prepare(
    images: Images, *, scaling: Scaling = "centred", num_train: int | None = None, num_components: int | None = None,
    device: torch.device | str = "cpu",
) -> Examples:  # fmt: skip
    """Return network inputs: pixels in [0, 1], scaled, training images doubled by mirror images.

    Parameters
    ----------
    images
        The data set.
    scaling
        "unit": pixels in [0, 1]; "centred": less the mean training image; "standardised": also divided by the standard
        deviation of each pixel.
    num_train
        Use only the first so many training images (before mirroring).
    num_components
        Project to so many principal components of the training images (at most the number of pixels).
    device
        Where the inputs are to lie. Bytes are sent there: scaling and mirroring are done on it.
    """
    pixels, labels = (torch.from_numpy(part[:num_train]).to(device) for part in images.train)
    train = pixels.float() / 255
    train = torch.cat([train, train.reshape(-1, *images.shape).flip(-1).flatten(start_dim=1)])
    test = torch.from_numpy(images.test[0]).to(device).float() / 255
    if scaling != "unit":
        mean = train.mean(dim=0)
        train -= mean
        test -= mean
    if scaling == "standardised":
        deviation = train.std(dim=0).clamp_min(1e-3)
        train /= deviation
        test /= deviation
    if num_components is not None:
        basis = principal_components(train, min(num_components, train.shape[1]))
        train, test = train @ basis, test @ basis
    return Examples((train, torch.cat([labels, labels])), (test, torch.from_numpy(images.test[1]).to(device)))


def principal_components(rows: Tensor, count: int) -> Tensor:
    """Return the directions of largest variance, shape (features, count)."""
    centred = rows - rows.mean(dim=0)
    _, vectors = torch.linalg.eigh((centred.T @ centred).double())
    return vectors[:, -count:].flip(1).to(rows.dtype)


def named_place(directory: Path | None) -> tuple[str, Path] | None:
    """Return the directory that the user names, after how it was named."""
    if directory is not None:
        return "--data", directory
    if os.environ.get(VARIABLE):
        return VARIABLE, Path(os.environ[VARIABLE])
    return None


def _nothing_found(name: str, option: str, directory: Path) -> str:
    wanted = [item for layout in LAYOUTS[name] for item in (f"{layout.folder}/", layout.archive)]
    found = "found none in" if directory.is_dir() else "there is no folder"
    return (
        f"{option} must be a folder with {TITLES[name]}: one of {', '.join(wanted)} or {name}-train-0.npz with "
        f"manifest.json; {found} {directory}."
    )


def usual_places() -> list[Path]:
    """Return the folders that are looked in when none is named."""
    places = [
        Path.cwd() / "data",
        REPOSITORY / "data",
        REPOSITORY.parent / "data",
        REPOSITORY.parent / "shared" / "data",
        Path("/usr/share/datasets"),  # of Debian's packages
    ]
    return [*places, cache_folder()]


def cache_folder() -> Path:
    """Return the folder that downloads are kept in."""
    import pooch

    return Path(pooch.os_cache("hessdens"))


def _download(name: str) -> Path:
    """Return the official archive."""
    archive, digest = ARCHIVES[name]
    return download(URL + archive, digest)


def download(address: str, digest: str) -> Path:
    """Return a file, downloaded by https with a progress bar and verified by its SHA-256, or found in the cache.

    Raises
    ------
    OSError, ValueError
        If the network gives none, or another file; and where HESSDENS_OFFLINE forbids downloads.
    """
    import pooch

    if os.environ.get(OFFLINE):
        raise OSError(f"{OFFLINE} is set, which forbids downloads.")
    if not address.startswith("https://"):
        raise ValueError(f"Addresses must begin with https://; got {address}.")
    name = address.rpartition("/")[2]
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=15)
    return Path(pooch.retrieve(address, f"sha256:{digest}", fname=name, path=cache_folder(), downloader=downloader))
