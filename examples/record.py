"""The arguments that examples share, and their figure and numbers side by side, with date, machine and versions."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from skip_paper.runs.environment import environment


def parse(description: str, name: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of an example: ``small``, and ``output``, the path of its figure."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a few seconds, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("results") / f"{name}.png", help="default: %(default)s")
    options = parser.parse_args(argv)
    options.command = " ".join(["python", f"examples/{name}.py", *(sys.argv[1:] if argv is None else argv)])
    options.start = time.perf_counter()
    return options


def save(figure: Figure, options: argparse.Namespace, numbers: dict[str, Any]) -> dict[str, Any]:
    """Write the figure to ``options.output`` and the numbers next to it, as JSON; return what was written."""
    path: Path = options.output
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"pdf.fonttype": 42, "ps.fonttype": 42}):  # TrueType, as journals want it
        figure.savefig(path, dpi=150)
    plt.close(figure)
    origin = {"command": options.command, "date": date.today().isoformat(), **environment(torch.device("cpu"))}
    content = {**origin, "seconds": round(time.perf_counter() - options.start, 1), **numbers}
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"{path} and {path.with_suffix('.json').name} written after {content['seconds']:.0f} s")
    return content
