"""The report as Markdown, for the pages of the documentation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from skip_paper.report.argument import DISCUSSION, STEPS, Step, survives
from skip_paper.report.page import RULES, Content, costs
from skip_paper.report.summary import STATUSES, WORDS, Result, Row, Summary, counts, interval, p_value, summaries


def markdown(content: Content, *, images: str = "") -> str:
    """Return the report; figures are files next to it, or in the folder ``images``."""
    found = summaries(content.results)
    lines = ["# Skip connections eliminate singularities: reproduction", "", content.about, ""]
    lines += [*first_page(found, content.statements), "## Figure by figure", ""]
    for result in content.results:
        lines += figure(result, images=images)
    return "\n".join([*lines, "## How verdicts are made", "", RULES, ""])


def first_page(found: Mapping[str, Summary], statements: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Return the answer, the argument, what contradicts the paper, and what holds instead."""
    numbers = counts(found)
    words = ", ".join(f"{numbers[status]} {WORDS[status]}" for status in STATUSES if numbers[status])
    yield from ("## Does the hypothesis survive?", "", survives(found), "")
    yield from (f"{sum(numbers.values())} claims of the paper: {words}.", "", "## The argument in seven steps", "")
    for place, step in enumerate(STEPS, 1):
        yield from _step(f"{place}. {step.title}", step, found)
    yield from ("## The paper's five answers to “it is only the gradients”", "")
    for step in DISCUSSION:
        yield from _step(f"({step.title.strip('()')})", step, found)
    yield from ("## What contradicts the paper", "")
    for summary in found.values():
        if summary.claim.whose == "paper" and summary.status in ("contradicted", "absent", "mixed"):
            row = next((r for r in summary.rows if r["decision"] in ("contradicted", "absent")), summary.quoted)
            assert row is not None
            yield (
                f"- “{summary.claim.sentence}” ({summary.claim.section}). **{WORDS[summary.status].capitalize()}**: "
                f"{row['claim']}, {interval(row)}, {row['condition'] or 'computed'}."
            )
    yield from ("", "## What we would put differently", "")
    for s in statements:
        if not s["holds"]:
            yield f"- “{s['sentence']}” ({s['section']}). {s['right']} Computed: {s['found']}."
    yield ""


def figure(result: Result, *, images: str = "") -> Iterator[str]:
    """Return one figure with its verdicts."""
    name = result["figure"]
    yield from (f"### {name}: {result['title']}", "", f"![{name}]({images}{name}.png)", "")
    yield from (f"{result['caption']} {costs(result)}", "")
    for condition, rows in result["verdicts"].items():
        if condition:
            yield from (f"**{condition}**", "")
        yield from _table(("the paper", "measured", "effect, 95% interval", "verdict"), map(_cells, rows))
        yield ""


def statements_table(statements: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Return the table of exact statements."""
    rows = (
        (
            f"“{s['sentence']}” ({s['section']})",
            "by construction" if s["by_construction"] else "holds" if s["holds"] else "does not hold",
            s["found"],
            s["right"],
        )
        for s in statements
    )
    yield from _table(("the paper", "as stated", "computed", "condition"), rows)


def _step(title: str, step: Step, found: Mapping[str, Summary]) -> Iterator[str]:
    yield from (f"**{title}: {step.state(found)}.** {step.sentence}", "")
    for key in step.keys:
        summary, row = found[key], found[key].quoted
        if summary.status == "not run" and key in step.more:
            continue
        text = f"; {interval(row)}, {row['condition'] or 'computed'}" if row else ""
        yield f"- {summary.claim.figure}, {summary.claim.words}: **{WORDS[summary.status]}**{text}"
    yield ""


def _cells(row: Row) -> tuple[str, ...]:
    said = f"“{row['sentence']}”" if row["whose"] == "paper" else f"Ours: {row['sentence']}"
    details = ", ".join(
        part for part in (row["test"], f"{row['runs']} runs" if row["runs"] > 1 else "", p_value(row)) if part
    )
    verdict = WORDS[row["decision"]] + (f": {row['reason']}" if row["reason"] else "")
    return (
        f"{said} ({row['section']})",
        f"{row['claim']} ({details})" if details else row["claim"],
        interval(row),
        verdict,
    )


def _table(headings: Sequence[str], rows: Any) -> Iterator[str]:
    yield "| " + " | ".join(headings) + " |"
    yield "|" + "---|" * len(headings)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
