"""Where a monitor's numbers go: functions of (step, numbers by name) around TensorBoard, Weights & Biases and CSV."""

import csv
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Logger = Callable[[int, Mapping[str, float]], object]


def tensorboard_logger(writer: Any, prefix: str = "spectrum/") -> Logger:
    """Return a logger that writes to a ``torch.utils.tensorboard.SummaryWriter``, or anything with ``add_scalar``."""

    def log(step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(f"{prefix}{name}", value, step)
        writer.flush()

    return log


def wandb_logger(run: Any, prefix: str = "spectrum/") -> Logger:
    """Return a logger that writes to the run that ``wandb.init`` returns.

    The step is a number of its own, not the run's: that one must not go back, and belongs to the training's own calls.
    """
    run.define_metric(f"{prefix}*", step_metric=f"{prefix}step")

    def log(step: int, numbers: Mapping[str, float]) -> None:
        run.log({f"{prefix}step": step, **{f"{prefix}{name}": value for name, value in numbers.items()}})

    return log


def csv_logger(path: str | os.PathLike[str]) -> Logger:
    """Return a logger that adds a row a measurement to a CSV file, with a header.

    Rows of the same or a later step are replaced: a run that goes on from a checkpoint doubles none. The file is
    written whole and renamed, so that a killed process leaves no half row.

    Raises
    ------
    ValueError
        From the logger, if the file has other columns.
    """
    destination = Path(path)

    def log(step: int, numbers: Mapping[str, float]) -> None:
        header = ["step", *numbers]
        rows = [row for row in _rows(destination, header) if int(row[0]) < step]
        destination.parent.mkdir(parents=True, exist_ok=True)
        temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(8)}.tmp")
        try:
            with temporary.open("x", newline="") as file:
                csv.writer(file).writerows([header, *rows, [step, *numbers.values()]])
            os.replace(temporary, destination)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    return log


def _rows(path: Path, header: list[str]) -> list[list[str]]:
    """Return the rows of a file with this header; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        found = [row for row in csv.reader(file) if row]
    if not found or found[0] != header:
        columns = ", ".join(found[0]) if found else "none"
        raise ValueError(f"{path} must have the columns {', '.join(header)}; got {columns}. Give another file.")
    return found[1:]
