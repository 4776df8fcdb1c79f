"""The report's files: what each experiment has shown, and the pages that are made from these files alone."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hessdens.results.files import read_json
from skip_paper.report.markdown import markdown
from skip_paper.report.outcome import Outcome, as_dicts
from skip_paper.report.page import Content, page
from skip_paper.runs.store import write_whole
from skip_paper.verdicts.exact.statements import statements

RESULT = "A result of a figure must be a JSON file; remove it to draw the figure anew"
STATEMENTS = "statements.json"
OWN = "laptop"  # the folder of this machine's results, next to committed ones


def save_outcome(
    folder: Path, name: str, title: str, preset: str, found: Outcome, seconds: float | None, environment: dict[str, Any]
) -> None:
    """Write what one experiment has shown to ``<name>.json``, atomically.

    ``seconds`` None: it is drawn anew from runs that were there, and keeps their time, date and environment.
    """
    path = folder / f"{name}.json"
    origin = {
        "date": datetime.date.today().isoformat(),
        "seconds": round(seconds or 0.0, 1),
        "environment": environment,
    }
    if seconds is None and path.exists():
        content = read_json(path, RESULT)
        if content.get("preset") == preset:
            origin = {key: content[key] for key in origin}
    content = {
        "figure": name,
        "title": title,
        "preset": preset,
        **origin,
        "caption": found.caption,
        "diverged_runs": found.diverged,
        "verdicts": as_dicts(found.verdicts),
        "numbers": found.numbers,
    }
    write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def save_statements(folder: Path) -> None:
    """Compute the exact statements, unless they are there, and write them."""
    path = folder / STATEMENTS
    if not path.exists():
        content = {"statements": [asdict(statement) for statement in statements()]}
        write_whole(path, json.dumps(content, indent=1) + "\n")


def write_report(folder: Path, order: Sequence[str], preset: str, *, committed: Path | None = None) -> None:
    """Write ``report.html`` and ``report.md`` from the results of one preset in ``folder``.

    ``committed``: a folder with results of finished runs, which the report is then of; those in ``folder`` stand next
    to them as this machine's.
    """
    own = _read(folder, order, preset)
    main = _read(committed, order, None) if committed else own
    path = (committed or folder) / STATEMENTS
    found = read_json(path, RESULT)["statements"] if path.exists() else []
    content = Content(
        main, {r["figure"]: r for r in own} if committed else {}, found, committed or folder, _about(main)
    )
    write_whole(folder / "report.html", page(content))
    write_whole(folder / "report.md", markdown(content))


def _read(folder: Path, order: Sequence[str], preset: str | None) -> list[dict[str, Any]]:
    paths = [folder / f"{name}.json" for name in order]
    found = [read_json(path, RESULT) for path in paths if path.exists()]
    return [content for content in found if preset is None or content.get("preset") == preset]


def _about(results: Sequence[dict[str, Any]]) -> str:
    """Return which runs the report is of, in words."""
    if not results:
        return "No results yet."
    trained = [r for r in results if r["numbers"]] or list(results)
    machine = trained[0]["environment"]
    diverged = sum(r["diverged_runs"] for r in results)
    text = f"Preset {trained[0]['preset']}, {trained[-1]['date']}. {machine.get('device', 'a machine')}"
    if "threads" in machine:
        text += f", threads: {machine['threads']}; Python {machine['python']}, torch {machine['torch']}, "
        text += f"hessdens {machine['hessdens']}"
    return f"{text}. Runs that diverged: {diverged}; they count as the worst."
