"""Tables of the suite of spectra, from its committed results: what is in it, ratios to others, losses, coverage."""

import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from suite_figures import draw_budgets, draw_distances, draw_spectra

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from spectra import verdict
from spectra.verdict import Content, Duel

OURS, MOMENTS, SKILLING = "lanczos_density", "spectral_moments", "spectral_moments, skilling"
TRACE = "spectral_moments, trace alone"
TINY = 1e-15
TITLES = {
    "outside": "1 - degenerate fraction", "negative": "negative fraction", "distance": "Wasserstein distance",
    "m_1": "trace",
}  # fmt: skip
KINDS = {"network": "networks", "closed form": "closed forms", "adversarial": "adversarial"}
# Budget of the table that has a row for each spectrum.
SHOWN = 100


def write(folder: Path) -> None:
    """Write tables and pictures for the page to include."""
    contents = verdict.load()
    found = verdict.duels(contents, "densities", OURS, verdict.MEASURES)
    traces = verdict.duels(contents, "traces", TRACE, ("m_1",))
    parts = {
        "spectra": _spectra(contents),
        "summary": _origin(contents) + "\n" + _summary(found, verdict.LIMIT),
        "each": _each(contents, found),
        "losses": _losses(found, verdict.LIMIT) + _rises(contents),
        "traces": _summary(traces, verdict.TRACE_LIMIT) + _losses(traces, verdict.TRACE_LIMIT),
        "moments": _moments(contents),
        "intervals": _intervals(contents),
        "estimators": _estimators(contents),
    }
    for name, text in parts.items():
        (folder / f"suite_{name}.md").write_text(text)
    draw_spectra(folder / "suite_spectra.png")
    draw_distances(contents, folder / "suite_distances.png")
    draw_budgets(contents, folder / "suite_budgets.png")


def _table(header: list[str], rows: Iterable[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]) + "\n"


def _spectra(contents: list[Content]) -> str:
    rows = [
        [c["kind"], c["name"], f"{c['size']:,}", f"{c['shares']['outside']:.3%}", f"{c['shares']['negative']:.3%}",
         f"{c['mean_absolute']:.3g}"]
        for c in contents
    ]  # fmt: skip
    return _table(["kind", "spectrum", "N", "outside the window", "negative", "mean of absolute values"], rows)


def _summary(found: list[Duel], limit: float) -> str:
    groups: dict[tuple[str, str, int], list[Duel]] = {}
    for duel in found:
        groups.setdefault((duel.measure, duel.kind, duel.products), []).append(duel)
    rows = []
    for (measure, kind, products), some in groups.items():
        numbers = verdict.summary(some, limit)
        rows.append(
            [TITLES[measure], KINDS[kind], f"{products}", f"{numbers['within']} of {numbers['duels']}",
             f"{numbers['better']}", f"{numbers['median']:.2f}", f"{numbers['largest']:.3g}"]
        )  # fmt: skip
    order = {(m, k): place for place, (m, k) in enumerate((m, k) for m in TITLES.values() for k in KINDS.values())}
    rows.sort(key=lambda row: (order[row[0], row[1]], int(row[2])))
    header = ["error of", "spectra", "products", f"ratio at most {limit}", "at most 1", "median ratio", "largest"]
    return _table(header, rows)


def _each(contents: list[Content], found: list[Duel]) -> str:
    rows = []
    for content in contents:
        some = {d.measure: d for d in found if d.spectrum == content["name"] and d.products == SHOWN}
        if some:
            cells = [f"{d.ours:.2g} / {d.best:.2g} = {_ratio(d, verdict.LIMIT)}" for d in some.values()]
            rows.append([content["name"], *cells, some["distance"].winner])
    names = [TITLES[measure] for measure in verdict.MEASURES]
    return _table(["spectrum", *names, "best other by distance"], rows)


def _ratio(duel: Duel, limit: float) -> str:
    return f"**{duel.ratio:.2f}**" if duel.ratio > limit else f"{duel.ratio:.2f}"


def _losses(found: list[Duel], limit: float) -> str:
    lost = sorted((duel for duel in found if duel.ratio > limit), key=lambda duel: -duel.ratio)
    rows = [
        [TITLES[d.measure], d.spectrum, f"{d.products}", f"{d.ours:.3g}", f"{d.best:.3g}", f"{d.ratio:.2f}", d.winner]
        for d in lost
    ]
    header = ["error of", "spectrum", "products", "ours", "best other", "ratio", "which"]
    text = f"\n{len(lost)} of {len(found)} errors are more than {limit} times that of the best other method:\n\n"
    return text + _table(header, rows)


def _rises(contents: list[Content]) -> str:
    found = verdict.rises(contents, OURS)
    rows = [[TITLES[measure], name, f"{products}", f"{factor:.2f}"] for name, measure, products, factor in found]
    text = f"\nErrors that are more than {verdict.RISE} times larger than at the budget before: {len(found)}.\n\n"
    return text + (_table(["error of", "spectrum", "products", "times"], rows) if rows else "")


def _moments(contents: list[Content]) -> str:
    rows = []
    for content in contents:
        if content["kind"] != "network":
            continue
        for budget in (50, SHOWN, 200):
            found = {name: row for _, name, _, row in verdict.rows(content, "traces", budget)}
            if {MOMENTS, SKILLING} <= found.keys():
                pairs = [(found[MOMENTS][name], found[SKILLING][name]) for name in ("m_1", "m_2", "m_3", "m_4")]
                cells = [f"{error:.2%} ({plain / max(error, TINY):,.3g})" for error, plain in pairs]
                rows.append([content["name"], f"{budget}", *cells])
    return _table(["network", "products", "m_1", "m_2", "m_3", "m_4"], rows)


def _intervals(contents: list[Content]) -> str:
    rows = [
        [f"`{name}`", kind, f"{row['cells']:,}", f"{row['least']:.0%}", f"{row['mean']:.1%}", f"{row['low']}",
         f"{row['beyond_chance']}", f"{row['median_width']:.2f}", f"{row['wider_than_10']:.1%}"]
        for (name, kind), row in sorted(verdict.coverage(contents).items())
        if kind == "all" or name == OURS
    ]  # fmt: skip
    header = ["estimator", "of", "cells", "least coverage", "mean", "below 90%", "beyond chance", "median width",
              "wider than 10"]  # fmt: skip
    every = verdict.cells(contents)
    budgets = ", ".join(str(products) for products in sorted({each.products for each in every}))
    seeds = ", ".join(str(number) for number in sorted({each.seeds for each in every}))
    scope = f"{len({each.spectrum for each in every})} spectra; {budgets} products; {seeds} seeds.\n\n"
    low = [each for each in every if each.is_beyond_chance and each.estimator in (OURS, MOMENTS)]
    worst = [
        [f"`{each.estimator}`", each.spectrum, f"{each.products}", each.number, f"{each.held:.0%}"]
        for each in sorted(low, key=lambda each: each.held)
    ]
    text = f"\nOf `{OURS}` and `{MOMENTS}`, cells that hold less often than in 95% beyond chance: {len(worst)}.\n\n"
    return (
        scope + _table(header, rows) + text + _table(["estimator", "spectrum", "products", "number", "coverage"], worst)
    )


def _entries(contents: list[Content]) -> Iterator[tuple[str, Content, Content]]:
    """Yield name and entry of each estimator on each spectrum, and its part of the file."""
    for content in contents:
        for part in verdict.PARTS:
            for name, entry in content.get(part, {}).items():
                yield name, entry, content


def _origin(contents: list[Content]) -> str:
    """Return dates, machines and versions of all results."""
    entries = [entry for _, entry, _ in _entries(contents)]
    dates = sorted({entry["date"] for entry in entries})
    machines = sorted({f"{entry['machine']}, {entry['threads']} thread" for entry in entries})
    versions = sorted({f"{name} {version}" for entry in entries for name, version in entry["versions"].items()})
    return f"{' to '.join({dates[0]: 0, dates[-1]: 0})}; {'; '.join(machines)}; {', '.join(versions)}.\n"


def _estimators(contents: list[Content]) -> str:
    found: dict[tuple[str, str], list[Content]] = {}
    times: dict[str, list[float]] = {}
    for name, entry, content in _entries(contents):
        found.setdefault((entry["kind"], name), []).append(entry)
        if content["kind"] == "network":
            rows = [row for answers in entry["budgets"].get(str(SHOWN), {}).values() for row in answers.values()]
            times.setdefault(name, []).extend(row["seconds"] for row in rows if row.get("answered"))
    rows = []
    for (kind, name), entries in sorted(found.items()):
        versions = {entry["version"] for entry in entries if not entry["version"].startswith("source")}
        seconds = f"{1e3 * statistics.median(times[name]):.1f}" if times.get(name) else ""
        seeds = sorted({entry["seeds"] for entry in entries})
        rows.append([kind, name, ", ".join(sorted(versions)), ", ".join(map(str, seeds)), seconds])
    return _table(["kind", "estimator", "version", "seeds", "milliseconds"], rows)
