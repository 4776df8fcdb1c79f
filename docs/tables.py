"""Writes the pages' tables from the committed results, so that no number is typed by hand."""

import json
from pathlib import Path

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS.parent / "benchmarks" / "results"
OUT = DOCS / "_generated"


def write_tables() -> None:
    """Write all tables as Markdown files for the pages to include."""
    OUT.mkdir(exist_ok=True)
    (OUT / "grid_search.md").write_text(_grid_search(_read(RESULTS / "grid_search.json")))
    (OUT / "moments.md").write_text(_moments(_read(RESULTS / "moments.json")))
    (OUT / "fig3.md").write_text(_figure3(_read(DOCS / "figures" / "fig3.json")))
    (OUT / "figS3.md").write_text(_figure_s3(_read(DOCS / "figures" / "figS3.json")))


def _read(path: Path) -> dict:
    return json.loads(path.read_text())


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _versions(content: dict) -> str:
    return ", ".join(f"{name} {version}" for name, version in content["versions"].items())


def _grid_search(content: dict) -> str:
    rows = [
        [
            f"`{name}`",
            f"{b['median_ms']:.2f}",
            f"{b['max_ms']:.1f}",
            f"{b['points_per_second']:.2e}",
            f"{b['times_slower']:.0f}",
            b["same_index_and_objective"],
        ]
        for name, b in content["backends"].items()
    ]
    header = ["backend", "median ms a fit", "slowest ms", "points a second", "times slower", "same index and objective"]
    fresh = content["fresh_process"]
    return (
        f"{content['date']}, {content['processor']}, {content['threads']} threads; {_versions(content)}.\n\n"
        + _table(header, rows)
        + f"\n1,000 fits in one call: {content['thousand_fits_in_one_call_s']:.2f} s. First fit of a process: "
        f"{fresh['compiling']['first_fit_s']:.1f} s when it compiles, {fresh['from_cache']['first_fit_s']:.1f} s from the cache; "
        f"peak memory beyond the import: {fresh['compiling']['peak_mib']:.0f} and {fresh['from_cache']['peak_mib']:.0f} MiB.\n"
    )


def _moments(content: dict) -> str:
    rows = [
        [
            f"{part['steps']:,}",
            row["distribution"],
            str(row["products"]),
            *(
                f"{error:.3f} ({reported:.3f})"
                for error, reported in zip(row["rmse"], row["reported_error"], strict=True)
            ),
        ]
        for part in content["table"]
        for row in part["rows"]
    ]
    a = content["arguments"]
    return (
        f"{content['date']}, {content['machine']}; {_versions(content)}. {content['data']}, plain 10x{a['width']} network, "
        f"{a['examples']:,} examples, {a['seeds']} seeds. Each cell: relative root-mean-square error over seeds, in brackets "
        "the standard error that the estimates report.\n\n"
        + _table(["training steps", "probes", "products", "m_1", "m_2", "m_3", "m_4"], rows)
    )


def _figure3(content: dict) -> str:
    names = {"train_accuracy": "training accuracy", "degenerate": "degenerate", "negative": "negative"}
    rows = []
    for condition, summary in content["results"].items():
        for quantity, entry in summary["quantities"].items():
            for ordering, verdicts in entry["orderings"].items():
                words = [f"{v['verdict']} ({v['z']:+.1f})" for v in verdicts[1:]]
                rows.append([condition, names[quantity], ordering, *words])
    epochs = [f"epoch {i}" for i in range(1, len(rows[0]) - 2)]
    edges = "; ".join(
        f"{condition}: " + ", ".join(f"{a} {100 * sum(e) / len(e):.0f}%" for a, e in summary["fits_on_edge"].items())
        for condition, summary in content["results"].items()
    )
    return (
        f"{content['date']}, {content['data']}, preset {content['preset']}. In brackets: the difference in standard errors of the difference; "
        "between -2 and 2 is not decided.\n\n"
        + _table(["condition", "quantity", "the paper's ordering", *epochs], rows)
        + f"\nFits on an edge of the paper's grid: {edges}.\n"
    )


def _figure_s3(content: dict) -> str:
    results, rows = content["results"], []
    for quantity in ("degenerate", "negative"):
        part = results[quantity]
        line = part["regression"]
        deviation = part["mean_estimate_minus_actual"]
        rows.append(
            [
                quantity,
                f"{part['underestimated']} under, {part['overestimated']} over",
                "—" if deviation is None else f"{100 * deviation:+.4f}%",
                *(
                    [f"{line['slope']:.2g}", f"{line['r']:.2f}", f"{line['p_value']:.1g}", str(line["num_points"])]
                    if line
                    else ["—"] * 4
                ),
            ]
        )
    return (
        f"{content['date']}, {content['data']}, preset {content['preset']}; {results['selected']} of {results['points']} spectra are at least 99.8% "
        f"degenerate; {results['fits_on_edge']} of all fits are on an edge of the paper's grid.\n\n"
        + _table(["fraction", "estimates", "mean estimate − actual", "slope", "r", "p", "n"], rows)
    )
