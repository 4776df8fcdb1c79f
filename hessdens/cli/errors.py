"""What a user reads when something goes wrong: a line for what hessdens refuses, a traceback for others' code."""

import importlib
import re
import sys
import traceback
from pathlib import Path
from types import TracebackType

# Exit statuses, as other commands use them.
FINE = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130
# Where code is hessdens, and where it is Python's own library.
PACKAGE = Path(__file__).resolve().parents[1]
LIBRARY = Path(traceback.__file__).resolve().parent
# The options by which a user of the command line knows arguments of the library.
OPTIONS = {
    "max_products": "--products",
    "max_size": "--max-size",
    "num_moments": "--moments",
    "num_probes": "--probes",
    "num_steps": "--steps",
    "rtol": "--rtol",
}


class CommandError(Exception):
    """The work cannot be done; the message is all that a user needs."""

    status = FAILED


class UsageError(CommandError):
    """The command line asks for what cannot be: nothing was tried."""

    status = USAGE


def report(error: BaseException) -> int:
    """Print an error on standard error and return the exit status."""
    if isinstance(error, CommandError):
        tell(str(error))
        return error.status
    if isinstance(error, OSError) and error.filename is not None and not _is_of_others(error.__traceback__):
        tell(f"{error.filename} must be a file that can be read or written: {error.strerror}.")
        return FAILED
    if isinstance(error, ValueError | TypeError | MemoryError | OSError) and _is_ours(error.__traceback__):
        tell(with_options(str(error)))
        return FAILED
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_of_the_command(frame.filename)]
    sys.stderr.write("Traceback (most recent call last):\n")
    sys.stderr.write("".join(traceback.format_list(frames)))
    sys.stderr.write("".join(traceback.format_exception_only(error)))
    tell(f"the work failed with the {type(error).__name__} above.")
    return FAILED


def tell(message: str) -> None:
    """Print a line on standard error."""
    print(f"hessdens: {' '.join(message.split())}", file=sys.stderr)


def with_options(message: str) -> str:
    """Return a message of the library with options in place of its arguments."""
    return re.sub(rf"\b(?:{'|'.join(OPTIONS)})\b", lambda match: OPTIONS[match.group()], message)


def _is_ours(place: TracebackType | None) -> bool:
    """Return whether hessdens itself raised an error, rather than code that it called."""
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and PACKAGE in Path(place.tb_frame.f_code.co_filename).resolve().parents


def _is_of_others(place: TracebackType | None) -> bool:
    """Return whether an error came through code that is neither hessdens nor Python's own library: a user's."""
    paths = [Path(frame.filename).resolve() for frame in traceback.extract_tb(place)]
    own = [path for path in paths if PACKAGE not in path.parents]
    return any(LIBRARY not in path.parents or "site-packages" in path.parts for path in own)


def _is_of_the_command(filename: str) -> bool:
    is_import = filename.startswith("<frozen importlib") or filename == importlib.__file__
    return is_import or PACKAGE / "cli" in Path(filename).resolve().parents
