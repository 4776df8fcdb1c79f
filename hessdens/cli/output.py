"""What commands read, print and write in the same way."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from hessdens._checks import LEVEL
from hessdens._types import Window
from hessdens._version import __version__
from hessdens.cli.errors import FINE, CommandError, UsageError, tell, with_options
from hessdens.curvature import GradientNoise
from hessdens.densities import Density
from hessdens.linalg.memory import readable_bytes
from hessdens.loading import Result, load_result
from hessdens.mixture import FitUncertainty, MixtureFit
from hessdens.results.files import replaceable
from hessdens.results.summaries.text import percent, with_interval

# Version of the JSON that commands print. It grows when a key changes its meaning or goes.
SCHEMA = 1
# What to do with results that a density can be made of.
ADVICE = {
    "Moments": "`hessdens density --method mixture` makes a density of moments, and so does fit_mixture in Python. ",
    "ChebyshevMoments": "maximum_entropy in Python makes a density of them. ",
}


def check_out(arguments: argparse.Namespace) -> None:
    """Raise UsageError, before the work begins, if its result could not be written."""
    if arguments.out is None:
        return
    try:
        place = replaceable(arguments.out)
        with TemporaryFile(dir=place.parent):  # which shows whether the folder can be written to
            pass
    except (OSError, ValueError) as error:
        raise UsageError(f"--out must be a file that can be written. {error}") from error
    if place.exists() and not arguments.force:
        raise UsageError(
            f"--out must be a new file; {arguments.out} exists. Give another name, or --force to replace it."
        )


def finish(result: Result, arguments: argparse.Namespace, noise: GradientNoise | None = None) -> int:
    """Write and print the result of an estimate, and the gradient where that is known; return the status."""
    if arguments.out is not None:
        result.save(arguments.out)
    settings = (arguments.window, arguments.level) if arguments.command == "density" else ()
    gradient = {} if noise is None else {"gradient": asdict(noise)}
    print_json(arguments, results=[{"file": arguments.out, **result.numbers(*settings), **gradient}])
    if not arguments.json:
        print(with_options(summary(result, *settings) if settings else str(result)))
        if noise is not None:
            print(f"  {noise}")
    tell_of_checkpoint(arguments)
    return FINE


def tell_of_checkpoint(arguments: argparse.Namespace) -> None:
    """Say how large the folder of finished work is, and what it is still good for."""
    if arguments.checkpoint is not None:
        size = sum(file.stat().st_size for file in Path(arguments.checkpoint).rglob("*") if file.is_file())
        tell(
            f"{arguments.checkpoint} holds {readable_bytes(size)} of finished work. The same command with more "
            "products goes on from it; delete the folder if you need no more."
        )


def print_json(arguments: argparse.Namespace, **content: Any) -> None:
    """Print one JSON object, if that is asked for."""
    if arguments.json:
        head = {"schema": SCHEMA, "hessdens": __version__, "command": arguments.command}
        print(json.dumps({**head, **content}, indent=1, allow_nan=False))


def loaded(path: str, *kinds: type[Any], what: str) -> Any:
    """Return the result in a file, and of a fit its mixture; CommandError unless it is of one of the kinds."""
    result = load_result(path)
    estimate = without_fit(result)
    if not isinstance(estimate, kinds):
        name = type(result).__name__
        advice = ADVICE.get(name, "")
        raise CommandError(f"{path} must hold {what}; it holds {name}. {advice}`hessdens show {path}` prints it.")
    return estimate


def without_fit(result: Any) -> Any:
    """Return the mixture of a fit, and all else as it is."""
    return result.mixture if isinstance(result, MixtureFit | FitUncertainty) else result


def _fractions(fractions: dict[str, Any]) -> str:
    """Return the line on fractions and their intervals."""
    texts = []
    for name in ("degenerate", "negative"):
        part = fractions[name]
        has_interval = "low" in part
        share = with_interval(part["value"], part["low"], part["high"]) if has_interval else percent(part["value"])
        texts.append(f"{share} {name}")
    settings = f"(window {fractions['window']:g}, {100 * fractions['level']:.4g}% intervals)"
    return f"  {', '.join(texts)} {settings}"


def printable(text: str) -> str:
    """Return text without what would move a terminal's cursor: it may come from a stranger's file."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def summary(result: Any, window: Window | None, level: float) -> str:
    """Return what is printed of a result, with fractions in this window and intervals at this level."""
    if isinstance(result, Density):
        return result.summary(window, level)
    numbers = {} if (window, level) == (None, LEVEL) else result.numbers(window, level)
    return f"{result}\n{_fractions(numbers['fractions'])}" if "fractions" in numbers else str(result)
