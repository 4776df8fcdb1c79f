"""What a user reads when something goes wrong: a line for what hessdens refuses, a traceback for others' code."""

import importlib
import re
import sys
import traceback
from pathlib import Path

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
    "atol": "--atol",
    "block_size": "--block",
    "low_memory": "--low-memory",
    "max_products": "--products",
    "max_rows": "--max-rows",
    "max_size": "--max-size",
    "num_heads": "--heads",
    "num_key_value_heads": "--key-value-heads",
    "num_moments": "--moments",
    "num_probes": "--probes",
    "num_steps": "--steps",
    "num_vectors": "--vectors",
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
    frames = traceback.extract_tb(error.__traceback__)
    paths = [Path(frame.filename).resolve() for frame in frames]
    if isinstance(error, SystemExit):
        theirs = [frame for frame in frames if frame.filename[0] != "<" and _is_of_others(Path(frame.filename))]
        place = f"{theirs[-1].filename}, line {theirs[-1].lineno}," if theirs else "it"
        rule = "FACTORY and what it makes must return, not end the process"
        tell(f"{rule}; {place} exits with {error.code!r:.40}.")
        return FAILED
    if isinstance(error, OSError) and error.filename is not None and not any(map(_is_of_others, paths)):
        tell(f"{error.filename} must be a file that can be read or written: {error.strerror}.")
        return FAILED
    # What hessdens itself raised, rather than code that it called.
    if isinstance(error, ValueError | TypeError | MemoryError | OSError) and paths and PACKAGE in paths[-1].parents:
        tell(with_options(str(error)))
        return FAILED
    shown = [frame for frame in frames if not _is_of_the_command(frame.filename)]
    sys.stderr.write("Traceback (most recent call last):\n")
    sys.stderr.writelines([*traceback.format_list(shown), *traceback.format_exception_only(error)])
    tell(f"the work failed with the {type(error).__name__} above.")
    return FAILED


def tell(message: str) -> None:
    """Print a line on standard error."""
    print(f"hessdens: {' '.join(message.split())}", file=sys.stderr)


def with_options(message: str) -> str:
    """Return a message of the library with options in place of its arguments."""
    message = re.sub(r'window="([\d.]+%)"', r"--window \1", message)
    return re.sub(rf"\b({'|'.join(OPTIONS)})\b(?:=(?![\w']))?", lambda match: OPTIONS[match[1]], message)


def _is_of_others(path: Path) -> bool:
    """Return whether code is neither that of hessdens nor Python's own library: a user's."""
    is_library = LIBRARY in path.parents and "site-packages" not in path.parts
    return not (PACKAGE in path.parents or is_library)


def _is_of_the_command(filename: str) -> bool:
    is_import = filename.startswith("<frozen importlib") or filename == importlib.__file__
    return is_import or PACKAGE / "cli" in Path(filename).resolve().parents
