"""Where a monitor's numbers go: functions of (step, numbers by name)."""

import csv
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from hessdens.results.files import reading, replacing

Logger = Callable[[int, Mapping[str, float]], object]


def csv_logger(path: str | os.PathLike[str]) -> Logger:
    """Return a logger that adds a row per measurement to a CSV file, with a header.

    Rows of the same or a later step are replaced, so that a run that goes on from a checkpoint doubles none. The file
    is written whole and renamed, so that a killed process leaves no half row. The logger raises ValueError if the file
    has other columns.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     log = csv_logger(f"{folder}/spectrum.csv")
    ...     log(0, {"loss": 0.5})
    ...     log(10, {"loss": 0.25})
    ...     print(Path(folder, "spectrum.csv").read_text())
    step,loss
    0,0.5
    10,0.25
    <BLANKLINE>
    """
    destination = Path(path)

    def log(step: int, numbers: Mapping[str, float]) -> None:
        header = ["step", *numbers]
        rows = [row for place, row in _rows(destination, header) if place < step]
        destination.parent.mkdir(parents=True, exist_ok=True)
        with replacing(destination, text=True) as file:
            csv.writer(file).writerows([header, *rows, [step, *numbers.values()]])

    return log


def _rows(path: Path, header: list[str]) -> list[tuple[int, list[str]]]:
    """Return the rows of a file with this header, each after its step; none where there is no file."""
    if not path.exists():
        return []
    with reading(path, "A log must be a CSV file with a step in each row") as file:
        lines = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
        columns, *rows = [line for line in lines if line] or [["none"]]
        if columns == header and any(len(row) != len(header) for row in rows):
            raise ValueError("a row has another length than the header")
        places = [int(row[0]) for row in rows] if columns == header else []
    if columns != header:
        rule = f"{path} must have the columns {', '.join(header)}"
        raise ValueError(f"{rule}; got {', '.join(columns)}. Give another file.")
    return list(zip(places, rows, strict=True))
