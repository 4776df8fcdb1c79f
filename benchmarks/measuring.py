"""What benchmarks share: their options, seconds, and the origin of a result: date, machine and versions."""

import argparse
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from skip_paper.runs.environment import environment

BENCHMARKS = Path(__file__).resolve().parent
EXAMPLES = BENCHMARKS.parent / "examples"
# Other libraries that are measured; they come with ``pip install hessdens[peers]``.
PEERS = ("curvlinops-for-pytorch", "hessian-eigenthings", "pyhessian")
T = TypeVar("T")


def results_of(script: str) -> Path:
    """Return where a script (its ``__file__``) writes its results, unless told otherwise."""
    return BENCHMARKS / "results" / f"{Path(script).stem}.json"


def parser_of(description: str | None, script: str) -> argparse.ArgumentParser:
    """Return a parser with the option that all benchmarks have: where to write."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=results_of(script))
    return parser


def origin(device: str = "cpu", packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return date, machine, threads, and versions of Python, torch and other packages."""
    facts = environment(torch.device(device))
    versions = {name: facts[name] for name in ("python", "torch")}
    return {
        "date": date.today().isoformat(),
        "machine": facts["device"],
        "threads": facts["threads"],
        "versions": versions | {name: importlib.metadata.version(name) for name in packages},
    }


def save(path: Path, content: dict[str, Any]) -> None:
    """Write results as JSON."""
    path.write_text(json.dumps(content, indent=1) + "\n")


def timed(function: Callable[..., T], *arguments: Any, device: str = "cpu") -> tuple[T, float]:
    """Return what a call returns and its seconds, on CUDA those of all its kernels."""
    _wait_for(device)
    start = time.perf_counter()
    result = function(*arguments)
    _wait_for(device)
    return result, time.perf_counter() - start


def _wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
