"""A folder of runs, each under the hash of its specification, shared by processes."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from hessdens.results.files import read_json, replacing
from hessdens.results.storage import NewerFormatError, load_npz, save_npz, take
from skip_paper.runs.finished import FinishedRuns
from skip_paper.runs.specification import FORMAT, RunSpec

KIND = "skip_paper run"
PARTIAL_KIND = "skip_paper unfinished run"
Arrays = dict[str, np.ndarray[Any, Any]]


class RunStore:
    """A folder of runs. Files are whole or absent, so that a killed program loses no finished run.

    Several processes or machines may share the folder: each run is computed by the one that holds its lock, which the
    system frees when a process dies.

    ``committed``: runs that are finished elsewhere, and not repeated here.
    """

    def __init__(self, folder: Path, committed: FinishedRuns | None = None) -> None:
        self.folder, self.committed = folder, committed
        try:
            (folder / "locks").mkdir(parents=True, exist_ok=True)
            probe = folder / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ValueError(f"The results folder must be writable; {folder} is not: {error.strerror}.") from error
        self._check_format()

    def _check_format(self) -> None:
        path = self.folder / "format.json"
        found: Any = FORMAT
        if path.exists():
            rule = "A results folder must say which program wrote it, or be another one"
            found = read_json(path, rule).get("format", "none")
        if found != FORMAT:
            raise ValueError(
                f"The results folder must be written by this version (format {FORMAT}); {self.folder} has format "
                f"{found}. Take another with --results."
            )
        if not path.exists():
            write_whole(path, json.dumps({"format": FORMAT}))

    def has(self, spec: RunSpec) -> bool:
        """Return whether a run is finished."""
        return self._path(spec).exists() or (self.committed is not None and self.committed.has(spec))

    def find(self, spec: RunSpec) -> Arrays | None:
        """Return the arrays of a finished run, or None. A damaged file is removed, with a notice.

        ValueError for a file of a newer version, which stays.
        """
        found = self._load(self._path(spec), KIND, {"diverged": f"{len(spec.measure_at)} flag"})
        return self.committed.find(spec) if found is None and self.committed is not None else found

    def save(self, spec: RunSpec, arrays: Arrays) -> None:
        """Write the arrays of a finished run."""
        save_npz(self._path(spec), KIND, arrays)
        self._partial(spec).unlink(missing_ok=True)

    def find_partial(self, spec: RunSpec) -> Arrays | None:
        """Return what a killed process left of a run, or None."""
        layout = {"next": "count", "result diverged": f"{len(spec.measure_at)} flag"}
        return self._load(self._partial(spec), PARTIAL_KIND, layout)

    def save_partial(self, spec: RunSpec, arrays: Arrays) -> None:
        """Write what a run needs to go on."""
        save_npz(self._partial(spec), PARTIAL_KIND, arrays)

    @contextmanager
    def claimed(self, specs: Iterable[RunSpec]) -> Iterator[list[RunSpec]]:
        """Hold the locks of those runs that no other process holds."""
        locks, mine = [], []
        try:
            for spec in specs:
                lock = filelock.FileLock(self.folder / "locks" / f"{spec.key()}.lock", timeout=0)
                try:
                    lock.acquire()
                except filelock.Timeout:
                    continue
                locks.append(lock)
                mine.append(spec)
            # Another process may have finished a run before its lock came here.
            yield [spec for spec in mine if not self.has(spec)]
        finally:
            for lock in locks:
                lock.release()

    def _load(self, path: Path, kind: str, layout: dict[str, str]) -> Arrays | None:
        if not path.exists():
            return None
        try:
            arrays = load_npz(path, kind)
            take(arrays, layout, path)
            return arrays
        except NewerFormatError as error:
            raise ValueError(f"{error} Take another folder with --results, or that version.") from error
        except ValueError as error:
            if not path.is_file():
                raise
            print(f"\nRepeating a run, because its file is damaged: {error}", file=sys.stderr)
            path.unlink(missing_ok=True)
            return None

    def _path(self, spec: RunSpec) -> Path:
        return self.folder / f"{spec.key()}.npz"

    def _partial(self, spec: RunSpec) -> Path:
        return self.folder / f"{spec.key()}.partial.npz"


def write_whole(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path, text=True) as file:
        file.write(text)
