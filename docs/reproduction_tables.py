"""The generated parts of the page on the reproduction, from the results that `take_results.py` has taken."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from skip_paper.report.markdown import figure, first_page, statements_table
from skip_paper.report.summary import ORDER, summaries

FIGURES = Path(__file__).resolve().parent / "figures"


def write(out: Path, rules: dict[str, Any]) -> None:
    """Write the parts as Markdown files to a folder; ``rules``: what `benchmarks/verdict_rules.py` found."""
    found = [json.loads(path.read_text()) for name in ORDER if (path := FIGURES / f"{name}.json").exists()]
    statements = json.loads((FIGURES / "statements.json").read_text())["statements"]
    text = "\n".join(first_page(summaries(found), statements))
    (out / "reproduction_answer.md").write_text(text + "\n")
    lines = [line for content in found for line in figure(content, images="figures/")]
    (out / "reproduction.md").write_text("\n".join([*lines, *_missing(found)]) + "\n")
    (out / "statements.md").write_text("\n".join(statements_table(statements)) + "\n")
    (out / "verdict_rules.md").write_text("\n".join(_rules(rules)) + "\n")


def _missing(found: list[dict[str, Any]]) -> Iterator[str]:
    missing = [name for name in ORDER if name not in {content["figure"] for content in found}]
    if missing:
        yield f"Not run for this version: {', '.join(missing)}."


def _rules(content: dict[str, Any]) -> Iterator[str]:
    trials = content["arguments"]["trials"]
    yield f"{content['date']}, {trials:,} simulated claims per row, looked at after 4, 8 and 12 seeds until decided."
    yield ""
    yield "| design | true effect, in margins | wrong | reproduced | absent |"
    yield "|---|---|---|---|---|"
    for row in content["single_claims"]:
        if row["margin_of"] == "first":
            numbers = (f"{100 * row[name]:.1f}%" for name in ("wrong", "reproduced", "absent"))
            yield f"| {row['design']} | {row['truth']:g} | {' | '.join(numbers)} |"
    family, last = content["family"], next(r for r in content["single_claims"] if r["margin_of"] == "last")
    yield ""
    yield (
        f"Of figures with eight claims of different truths, {100 * family['figures_with_a_wrong_verdict']:.1f}% have "
        "any wrong verdict. The margin above is twice the standard error of the first look. With twice that of the "
        f"last look, absent effects are found absent in {100 * last['absent']:.0f}%; no rule that is wrong in 5% can "
        f"find more than {100 * content['most_power_at_two_standard_errors']:.0f}% there."
    )
