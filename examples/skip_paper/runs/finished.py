"""Finished runs as data: what was measured of many runs in one compact file, without weights.

The file is committed, so that all figures and verdicts can be made without training. Numbers are in float32; what is
measured by layer is rounded to a relative error of 6e-5; moments, from which mixtures are fitted, are as measured. All
eigenvalues are left out: what claims are about was taken from them when they were computed.
"""

import datetime
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hessdens.results.storage import load_npz, pack, save_npz, take, unpack
from skip_paper.data.images import Images

FORMAT = 1
KIND = "skip_paper finished runs"
COMMITTED = Path(__file__).resolve().parent / "finished.npz"
# Left out: large, and never read again.
LEFT_OUT = ("eigenvalues",)
WHOLE = ("samples",)
# Most of the bytes, were they not rounded to so many bits: a relative error far below any spread over runs.
BY_LAYER = (
    "gradient_norm", "weight_norm", "overlap", "bias", "variance_explained", "zero_probability", "zero_rectified",
    "dead_units",
)  # fmt: skip
MANTISSA = 14
Arrays = dict[str, NDArray[Any]]


class Specified(Protocol):
    """A run's specification: a dataclass with a key."""

    def key(self) -> str:
        """Return the hash of the specification."""


@dataclass(frozen=True)
class ImageFacts:
    """What a setting asks of a data set without looking at its images."""

    title: str
    shape: tuple[int, int, int]
    num_classes: int
    num_train: int
    num_test: int
    fingerprint: str


def facts_of(images: Images) -> ImageFacts:
    """Return the facts of a data set."""
    counts = len(images.train[0]), len(images.test[0])
    return ImageFacts(images.title, images.shape, images.num_classes, *counts, images.fingerprint)


@dataclass(frozen=True)
class FinishedRuns:
    """Measurements of many runs.

    Parameters
    ----------
    runs
        Arrays of each run by the key of its specification.
    specifications
        The specifications as plain values, by the same keys.
    images
        The data sets of the runs by their names.
    origin
        Date, machine and versions of those who ran them.
    """

    runs: Mapping[str, Arrays]
    specifications: Mapping[str, Mapping[str, Any]]
    images: Mapping[str, ImageFacts]
    origin: Mapping[str, Any]

    def find(self, spec: Specified) -> Arrays | None:
        """Return the arrays of a run, or None."""
        return self.runs.get(spec.key())

    def has(self, spec: Specified) -> bool:
        """Return whether a run is there."""
        return spec.key() in self.runs

    def images_of(self, name: str) -> Images:
        """Return a data set with its facts and without its pixels.

        ValueError if no run was of it.
        """
        if name not in self.images:
            raise ValueError(f"Finished runs must be of the data set that is asked for; they are of "
                             f"{', '.join(sorted(self.images))}, not {name}.")  # fmt: skip
        facts = self.images[name]
        parts = [
            (np.empty((n, 0), dtype=np.uint8), np.empty(n, dtype=np.int64)) for n in (facts.num_train, facts.num_test)
        ]
        images = Images(facts.title, facts.shape, facts.num_classes, *parts)
        images.__dict__["fingerprint"] = facts.fingerprint  # what the property would compute from the pixels
        return images

    def merged(self, other: "FinishedRuns") -> "FinishedRuns":
        """Return both; where a run is in both, that of ``other``."""
        return FinishedRuns(
            {**self.runs, **other.runs}, {**self.specifications, **other.specifications},
            {**self.images, **other.images}, {**self.origin, **other.origin},
        )  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file atomically."""
        keys = sorted(self.runs)
        head = {
            "format": FORMAT,
            "keys": keys,
            "specifications": [self.specifications[key] for key in keys],
            "images": {name: asdict(facts) for name, facts in self.images.items()},
            "origin": dict(self.origin),
        }
        packed = pack([self.runs[key] for key in keys])
        save_npz(path, KIND, {"head": json.dumps(head), **packed})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "FinishedRuns":
        """Return what `save` wrote.

        Raises
        ------
        ValueError
            If the file is damaged, or of another version. It stays as it is.
        """
        arrays = load_npz(path, KIND)
        head = json.loads(take(arrays, {"head": "text"}, path)["head"])
        if head.get("format") != FORMAT:
            raise ValueError(
                f"Finished runs must be of format {FORMAT}; {path} has format {head.get('format')}. It stays as it is: "
                "read it with the version that wrote it, or make it anew with --collect."
            )
        keys = head["keys"]
        rows = unpack({name: array for name, array in arrays.items() if name != "head"}, len(keys), path)
        facts = {
            name: ImageFacts(**{**values, "shape": tuple(values["shape"])}) for name, values in head["images"].items()
        }
        return cls(
            dict(zip(keys, rows, strict=True)), dict(zip(keys, head["specifications"], strict=True)), facts,
            head["origin"],
        )  # fmt: skip


def collected(
    found: Iterable[tuple[Specified, Arrays]], images: Mapping[str, ImageFacts], origin: Mapping[str, Any]
) -> FinishedRuns:
    """Return runs as they are kept."""
    runs: dict[str, Arrays] = {}
    specifications: dict[str, Mapping[str, Any]] = {}
    for spec, arrays in found:
        runs[spec.key()] = compact(arrays)
        specifications[spec.key()] = json.loads(json.dumps(asdict(spec)))  # type: ignore[call-overload]
    return FinishedRuns(runs, specifications, images, origin)


def collect(
    path: Path, specs: Iterable[Specified], find: Callable[[Any], Arrays | None], images: Mapping[str, Images],
    origin: Mapping[str, Any],
) -> FinishedRuns:  # fmt: skip
    """Add those of some runs that are finished to a file, and return what it then has.

    ``find`` gives the arrays of a run, or None. A file that cannot be read raises ValueError and stays.
    """
    before = FinishedRuns.load(path) if path.exists() else None
    found = [(spec, arrays) for spec in specs if (arrays := find(spec)) is not None]
    facts = {name: facts_of(data) for name, data in sorted(images.items())}
    runs = collected(found, facts, {**origin, "date": datetime.date.today().isoformat()})
    if before is not None:
        runs = before.merged(runs)
    runs.save(path)
    return runs


def compact(arrays: Arrays) -> Arrays:
    """Return the arrays of a run as they are kept."""
    kept = {name: np.asarray(array) for name, array in arrays.items() if name not in LEFT_OUT}
    return {name: array if name in WHOLE else _smaller(array, name in BY_LAYER) for name, array in kept.items()}


def _smaller(array: NDArray[Any], rounded: bool) -> NDArray[Any]:
    if array.dtype.kind != "f":
        return array
    small = array.astype(np.float32)
    if not rounded:
        return small
    # Zeros at the end of the mantissa compress.
    fraction, exponent = np.frexp(small)
    return np.ldexp(np.round(fraction * 2**MANTISSA) / np.float32(2**MANTISSA), exponent).astype(np.float32)


def differences(one: Arrays, other: Arrays) -> dict[str, float]:
    """Return for each measurement the largest difference of two runs, over the size of the first."""
    found = {}
    for name in sorted(set(one) & set(other) - set(LEFT_OUT)):
        a, b = (np.asarray(arrays[name], dtype=np.float64) for arrays in (one, other))
        if a.shape != b.shape:
            found[name] = float("inf")
            continue
        both = np.isfinite(a) & np.isfinite(b)
        size = float(np.abs(a[both]).max(initial=0.0))
        apart = float(np.abs(a - b)[both].max(initial=0.0))
        found[name] = apart / size if size else apart
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            found[name] = float("inf")
    return found
