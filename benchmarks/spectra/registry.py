"""The estimators of the suite: functions in the modules of `estimators/`, each under a name."""

import hashlib
import importlib.metadata
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, Literal

import hessdens
import spectra.estimators
from spectra.matrix import Matrix

Kind = Literal["ours", "reference", "peer"]
ESTIMATORS: dict[str, "Estimator"] = {}


@dataclass(frozen=True)
class Estimator:
    """An estimator of the suite; `estimator` says what its parts are."""

    name: str
    answer: Callable[..., Any]
    kind: Kind
    gives: Literal["density", "moments"]
    splits: tuple[int, ...]
    gaussian: bool
    package: str | None

    @property
    def is_installed(self) -> bool:
        """Whether the package that it needs is there."""
        try:
            return self.package is None or bool(importlib.metadata.version(self.package))
        except importlib.metadata.PackageNotFoundError:
            return False

    def version(self) -> str:
        """Return what a stored result depends on: the package's version, or a checksum of the code."""
        if self.package is not None:
            return f"{self.package} {importlib.metadata.version(self.package)}"
        return f"source {_digest(self.answer.__code__.co_filename, self.kind == 'ours')}"

    def answers(self, eigenvalues: Any, budget: int, split: int = 0, seed: int = 0) -> dict[str, Any]:
        """Return what it says of a spectrum, by name: its own, and what it adds where it answers in several ways."""
        matrix = Matrix(eigenvalues, budget, turned=not self.gaussian)
        found = self.answer(matrix, budget, seed, *([split] if self.splits else []))
        if not isinstance(found, dict):
            return {self.name: found}
        return {f"{self.name}, {key}": each for key, each in found.items()}


@cache
def _digest(module: str, with_hessdens: bool) -> str:
    """Return a checksum of a module, and of all of hessdens."""
    sources = sorted(Path(hessdens.__file__).parent.rglob("*.py")) if with_hessdens else []
    return hashlib.sha256(b"".join(path.read_bytes() for path in [Path(module), *sources])).hexdigest()[:12]


def estimator(
    name: str,
    kind: Kind,
    *,
    gives: Literal["density", "moments"] = "density",
    splits: tuple[int, ...] = (),
    gaussian: bool = False,
    package: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function ``answer(matrix, products, seed)`` into the suite.

    It multiplies by ``matrix @ V``, with ``products`` columns in all at most, and returns a density or moments as
    `answers.py` says, or a dictionary of several. It raises ValueError where it cannot answer.

    Parameters
    ----------
    splits
        Numbers of probes that the products may be divided between, as a fourth argument of the function. The suite
        shows the best for each number that is measured.
    gaussian
        Whether its probes are Gaussian, or uniform on the sphere: it is given a diagonal matrix then, which is faster.
    package
        The package that it needs, as its registry calls it.
    """

    def enter(answer: Callable[..., Any]) -> Callable[..., Any]:
        ESTIMATORS[name] = Estimator(name, answer, kind, gives, splits, gaussian, package)
        return answer

    return enter


def estimators(patterns: list[str] | None = None) -> list[Estimator]:
    """Return the estimators whose name or kind fits one of the patterns, as "SLQ*" or "ours"."""
    for module in pkgutil.iter_modules(spectra.estimators.__path__):
        importlib.import_module(f"spectra.estimators.{module.name}")
    every = list(ESTIMATORS.values())
    chosen = [e for e in every if patterns is None or any(fnmatch(e.name, p) or fnmatch(e.kind, p) for p in patterns)]
    if not chosen:
        raise SystemExit(f"No estimator is called {' or '.join(map(repr, patterns or []))}; run.py --list names them.")
    return chosen
