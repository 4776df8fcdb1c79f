"""Kills the reproduction at random moments, and compares what it ends with to an uninterrupted run.

    python benchmarks/killed_runs.py [--kills 20] [--only fig3,fig4]

Runs ``run_all.py --preset smoke`` on scikit-learn's digits once without interruption; then again and again in another
folder, killed by SIGKILL after a random time, until it ends. The results must be equal, number by number, and no
finished run may be repeated.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import EXAMPLES, origin, parser_of, save, timed

# On the embedded digits, wherever CIFAR is.
CODE = (
    "import sys; from skip_paper import run_all; from skip_paper.data import images; images.usual_places = list; "
    "sys.exit(run_all.main(['--preset', 'smoke', *sys.argv[1:]]))"
)


def start(folder: Path, only: str | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CODE, "--results", str(folder), *(["--only", only] if only else [])]
    environment = {**os.environ, "HESSDENS_OFFLINE": "1", "HESSDENS_DATA": "", "PYTHONPATH": str(EXAMPLES)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def results(folder: Path) -> dict[str, Any]:
    """Return all numbers of a results folder but times."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        found[path.stem] = {key: value for key, value in content.items() if key not in ("seconds", "date")}
    return found


def finished(folder: Path) -> dict[str, int]:
    """Return the finished runs of a folder, with the times of their files."""
    runs = (folder / "runs").glob("*.npz")
    return {path.name: path.stat().st_mtime_ns for path in runs if ".partial" not in path.name and path.name[0] != "."}


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        whole, killed = Path(name) / "whole", Path(name) / "killed"
        failed, seconds = timed(lambda: start(whole, options.only).wait())
        if failed:
            sys.exit("The uninterrupted run failed: run it by hand.")
        kept: dict[str, int] = {}
        repeated, kills, equal = 0, 0, True
        while True:
            process = start(killed, options.only)
            # A start takes some seconds; the later kills of a long list come when all runs are there.
            wait = rng.uniform(4, 4 + 2 * seconds / options.kills) if kills < options.kills else None
            try:
                ended = process.wait(wait) == 0
                if not ended:
                    sys.exit(f"A run that went on after {kills} kills failed.")
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills, ended = kills + 1, False
            now = finished(killed)
            repeated += sum(now.get(key) != value for key, value in kept.items())
            kept = now
            if ended:
                equal &= results(killed) == results(whole)
                if kills >= options.kills:
                    break
                killed, kept = killed.with_name(f"{killed.name}_"), {}  # it ended before the kill: begin anew
    content = {
        **origin(packages=("numpy",)),
        "kills": kills,
        "seconds_uninterrupted": round(seconds, 1),
        "finished_runs_repeated": repeated,
        "results_equal": equal,
    }
    print(json.dumps(content))
    save(options.output, content)
    sys.exit(not equal or repeated > 0)


if __name__ == "__main__":
    main()
