"""The report: every claim with its effect, interval, test and verdict, and the figures; made from files alone."""

import base64
import datetime
import html
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hessdens.results.files import read_json
from skip_paper.report.outcome import Outcome, as_dicts
from skip_paper.runs.store import write_whole

HEADINGS = ("claim", "effect", "95% interval", "unit", "test", "verdict")
RESULT = "A result of a figure must be a JSON file; remove it to draw the figure anew"
RULE = (
    "A claim is reproduced where the 95% interval of its effect lies on the side that the paper says, not reproduced "
    "where it lies on the other side, and else not decided at this preset. Effects are positive where they are as the "
    "paper says. The rules are code (verdicts/claims.py), not chosen run by run. Claims are judged one by one, without "
    "a correction for their number."
)
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; color: #1a1a1a; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem; }
img { max-width: 100%; height: auto; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; width: 100%; min-width: 44rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.reproduced { color: #1b7a1b; font-weight: 600; } .not-reproduced { color: #b0126e; font-weight: 600; }
.not-decided { color: #666; } .caption { font-size: .85rem; color: #444; } nav a { margin-right: .8rem; }
.warning { background: #fff3cd; border-left: 4px solid #d8a000; padding: .5rem 1rem; }
"""


def save_outcome(
    folder: Path, name: str, title: str, preset: str, found: Outcome, seconds: float | None, environment: dict[str, Any]
) -> None:
    """Write what one experiment has shown to ``<name>.json``, whole or not at all.

    ``seconds`` None: it is drawn anew from runs that were there, and keeps their time, date and environment.
    """
    path = folder / f"{name}.json"
    origin = {
        "date": datetime.date.today().isoformat(),
        "seconds": round(seconds or 0.0, 1),
        "environment": environment,
    }
    before = read_json(path, RESULT) if seconds is None and path.exists() else {}
    if before.get("preset") == preset and origin.keys() <= before.keys():
        origin = {key: before[key] for key in origin}
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


def write_report(folder: Path, order: Sequence[str], preset: str) -> None:
    """Write ``report.html`` and ``report.md`` from the results of one preset in ``folder``."""
    found = []
    for name in order:
        path = folder / f"{name}.json"
        if path.exists():
            content = read_json(path, RESULT)
            if content.get("preset") == preset:
                found.append(content)
    write_whole(folder / "report.html", _html(folder, found, preset))
    write_whole(folder / "report.md", markdown(found, preset))


def markdown(found: Sequence[dict[str, Any]], preset: str, *, images: str = "") -> str:
    """Return the report as Markdown; figures are files next to it, or in the folder ``images``."""
    lines = ["# Skip connections eliminate singularities: reproduction", "", _summary(found, preset), "", RULE, ""]
    for content in found:
        lines += [
            f"## {content['figure']}: {content['title']}",
            "",
            f"![{content['figure']}]({images}{content['figure']}.png)",
            "",
        ]
        lines += [f"{content['caption']}. {_costs(content)}", ""]
        for condition, verdicts in content["verdicts"].items():
            if condition:
                lines += [f"**{condition}**", ""]
            lines += markdown_table(verdicts)
            lines.append("")
    return "\n".join(lines)


def markdown_table(verdicts: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a table of verdicts."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(v)) + " |" for v in verdicts]


def cells(verdict: dict[str, Any]) -> tuple[str, ...]:
    """Return one verdict in words, in the order of `HEADINGS`."""
    low, high = (_number(verdict[end]) for end in ("low", "high"))
    interval = "" if verdict["low"] is None and verdict["high"] is None else f"{low} to {high}"
    return (
        verdict["claim"], _number(verdict["effect"]), interval, verdict["unit"], verdict["test"], verdict["decision"]
    )  # fmt: skip


def _html(folder: Path, found: Sequence[dict[str, Any]], preset: str) -> str:
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>Reproduction, preset {preset}</title><style>{STYLE}</style></head><body>",
        "<h1>Skip connections eliminate singularities: reproduction</h1>",
        f"<p>{html.escape(_summary(found, preset))}</p><p class='caption'>{html.escape(RULE)}</p><nav>",
        *(f"<a href='#{c['figure']}'>{c['figure']}</a>" for c in found),
        "</nav>",
    ]
    if any("not CIFAR" in c["caption"] for c in found):
        parts.append("<p class='warning'>Not CIFAR: these results do not reproduce the paper.</p>")
    for content in found:
        parts += _html_section(folder, content)
    return "\n".join([*parts, "</body></html>\n"])


def _html_section(folder: Path, content: dict[str, Any]) -> Iterator[str]:
    name = content["figure"]
    yield f"<h2 id='{name}'>{name}: {html.escape(content['title'])}</h2>"
    picture = folder / f"{name}.png"
    if picture.exists():
        data = base64.b64encode(picture.read_bytes()).decode()
        yield f"<img alt='{name}' src='data:image/png;base64,{data}'>"
    yield f"<p class='caption'>{html.escape(content['caption'])}. {html.escape(_costs(content))}</p>"
    for condition, verdicts in content["verdicts"].items():
        if condition:
            yield f"<h3>{html.escape(condition)}</h3>"
        yield "<div class='scroll'><table><tr>" + "".join(f"<th>{h}</th>" for h in HEADINGS) + "</tr>"
        for verdict in verdicts:
            row = [html.escape(cell) for cell in cells(verdict)]
            kind = verdict["decision"].replace(" ", "-")
            yield (
                f"<tr><td>{row[0]}</td><td class='number'>{row[1]}</td><td class='number'>{row[2]}</td>"
                f"<td>{row[3]}</td><td>{row[4]}</td><td class='{kind}'>{row[5]}</td></tr>"
            )
        yield "</table></div>"


def _summary(found: Sequence[dict[str, Any]], preset: str) -> str:
    """Return counts of verdicts, environment and time."""
    counts: Counter[str] = Counter(
        verdict["decision"] for content in found if content["figure"] != "conditions"
        for group in content["verdicts"].values() for verdict in group
    )  # fmt: skip
    words = ", ".join(f"{counts[d]} {d}" for d in ("reproduced", "not reproduced", "not decided"))
    text = f"Preset {preset}: {sum(counts.values())} verdicts on claims of the paper: {words}."
    diverged = sum(content["diverged_runs"] for content in found)
    text += f" Runs that diverged: {diverged}."
    if found:
        machine = found[0]["environment"]
        text += (
            f" {machine['device']}, {machine['threads']} threads; Python {machine['python']}, "
            f"torch {machine['torch']}, hessdens {machine['hessdens']}; {sum(c['seconds'] for c in found) / 60:.0f} "
            f"minutes, {found[-1]['date']}. "
            "Seeds are 0, 1, .. in every experiment."
        )
    return text


def _costs(content: dict[str, Any]) -> str:
    text = f"{content['date']}, {content['seconds'] / 60:.1f} minutes."
    if content["diverged_runs"]:
        text += f" {content['diverged_runs']} runs diverged; they count in no mean."
    return text


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    if value == 0:
        return "0"
    return f"{value:.3g}" if 1e-4 <= abs(value) < 1e5 else f"{value:.1e}" if math.isfinite(value) else "?"
