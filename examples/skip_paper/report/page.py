"""The report as one HTML file: the argument first, then figure by figure."""

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skip_paper.report import marks
from skip_paper.report.argument import DISCUSSION, STEPS, Step, survives
from skip_paper.report.style import STYLE
from skip_paper.report.summary import STATUSES, WORDS, Result, Row, Summary, counts, interval, p_value, summaries

TITLE = "Skip connections eliminate singularities: reproduction"
RULES = (
    "Rules were in code before the runs. Effects are positive where they are as the paper says. A claim is looked at "
    "after 4, 8 and 12 seeds; intervals and p values hold for all looks together, and for all claims of a figure. "
    "“Reproduced”: the 95% interval lies on the paper's side of zero. “Contradicted”: on the other one. “No effect”: "
    "the 90% interval lies within the margin that is stated for the claim. Else “undecided”, with the reason. Claims "
    "of our own are marked, and not counted."
)


@dataclass(frozen=True)
class Content:
    """What a report is made of.

    Parameters
    ----------
    results
        Of each figure, in the paper's order: the committed ones, or those of this machine where there are no others.
    own
        Of this machine, next to committed ones; by figure.
    statements
        Exact statements, as dictionaries.
    folder
        Where figures lie.
    about
        What kind of runs these are, in a sentence.
    """

    results: Sequence[Result]
    own: Mapping[str, Result]
    statements: Sequence[Mapping[str, Any]]
    folder: Path
    about: str


def page(content: Content) -> str:
    """Return the report as HTML."""
    found = summaries(content.results)
    own = summaries(list(content.own.values()))
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{TITLE}</title><style>{STYLE}</style></head><body>",
        f"<h1>{TITLE}</h1><p>Orhan &amp; Pitkow, <i>Skip Connections Eliminate Singularities</i>, ICLR 2018.</p>",
        f"<p class='about'>{_text(content.about)}</p>",
        *_warnings(content),
        *_answer(found),
        *_steps(found),
        *_discussion(found),
        *_against(found),
        *_wrong(content.statements),
        *(_own(found, own) if content.own else ()),
        "<h2 id='figures'>Figure by figure</h2><nav>",
        *(f"<a href='#{c['figure']}'>{_name(c['figure'])}</a>" for c in content.results),
        "</nav>",
        *(line for c in content.results for line in _figure(c, content.folder)),
        *_statements(content.statements),
        f"<h2>How verdicts are made</h2><p>{RULES}</p>",
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _answer(found: Mapping[str, Summary]) -> Iterator[str]:
    numbers = counts(found)
    legend = " ".join(
        f"<span class='chip {_class(status)}'>{numbers[status]} {WORDS[status]}</span>"
        for status in STATUSES if numbers[status]
    )  # fmt: skip
    yield "<h2 id='answer'>Does the hypothesis survive?</h2>"
    yield f"<p class='answer'>{_text(survives(found))}</p>"
    yield f"{marks.strip(numbers)}<p class='legend'>{sum(numbers.values())} claims of the paper: {legend}</p>"


def _steps(found: Mapping[str, Summary]) -> Iterator[str]:
    yield "<h2 id='argument'>The argument in seven steps</h2><div class='cards'>"
    for place, step in enumerate(STEPS, 1):
        yield from _card(f"{place}. {step.title}", step, found)
    yield "</div>"


def _card(title: str, step: Step, found: Mapping[str, Summary]) -> Iterator[str]:
    state = step.state(found)
    yield f"<section class='card'><h3>{_text(title)} <span class='chip {_class(state)}'>{state}</span></h3>"
    yield f"<p>{_text(step.sentence)}</p>"
    yield from _marks([found[key] for key in step.main])
    if step.more:
        yield f"<details><summary>{len(step.more)} more that bear on it</summary>"
        yield from _marks([found[key] for key in step.more])
        yield "</details>"
    yield "</section>"


def _marks(found: Sequence[Summary]) -> Iterator[str]:
    yield "<table class='marks'>"
    for summary in found:
        row = summary.quoted
        where = f"{_name(summary.claim.figure)}{'; ours' if summary.claim.whose == 'ours' else ''}"
        text = f"{interval(row)}; {row['condition'] or 'computed'}" if row else ""
        yield (
            f"<tr><td>{_text(summary.claim.words)} <small>({where})</small><br><small>{_text(text)}</small></td>"
            f"<td>{marks.bar(row) if row else ''}</td>"
            f"<td class='{_class(summary.status)}'>{WORDS[summary.status]}</td></tr>"
        )
    yield "</table>"


def _discussion(found: Mapping[str, Summary]) -> Iterator[str]:
    yield "<h2 id='discussion'>The paper's five answers to “it is only the gradients”</h2><div class='cards'>"
    for step in DISCUSSION:
        yield from _card(f"Discussion {step.title}", step, found)
    yield "</div>"


def _against(found: Mapping[str, Summary]) -> Iterator[str]:
    against = [
        s for s in found.values() if s.claim.whose == "paper" and s.status in ("contradicted", "absent", "mixed")
    ]
    yield "<h2 id='against'>What contradicts the paper</h2>"
    if not against:
        yield "<p>Nothing that has been decided.</p>"
        return
    yield "<ul class='against'>"
    for summary in against:
        row = next((r for r in summary.rows if r["decision"] in ("contradicted", "absent")), summary.quoted)
        assert row is not None
        yield (
            f"<li><q>{_text(summary.claim.sentence)}</q> ({_text(summary.claim.section)}). "
            f"<span class='{_class(summary.status)}'>{WORDS[summary.status].capitalize()}</span>: "
            f"{_text(row['claim'])}, {_text(interval(row))}, {_text(row['condition'] or 'computed')}.</li>"
        )
    yield "</ul>"


def _wrong(statements: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    wrong = [s for s in statements if not s["holds"]]
    if not wrong:
        return
    yield "<h2 id='wrong'>What we would put differently</h2>"
    yield "<p>Exact statements that do not hold as they stand, and what holds. The argument of the paper needs none of "
    yield "them in the stronger form.</p><dl>"
    for statement in wrong:
        yield f"<dt><q>{_text(statement['sentence'])}</q> ({_text(statement['section'])})</dt>"
        yield f"<dd>{_text(statement['right'])} <small>Computed: {_text(statement['found'])}.</small></dd>"
    yield "</dl>"


def _own(found: Mapping[str, Summary], own: Mapping[str, Summary]) -> Iterator[str]:
    rows = [(found[key], summary) for key, summary in own.items() if summary.rows]
    decided = [
        (a.status, b.status) for a, b in rows if {a.status, b.status} <= {"reproduced", "contradicted", "absent"}
    ]
    same = sum(a == b for a, b in decided)
    yield "<h2 id='here'>On this machine</h2>"
    yield f"<p>{len(rows)} claims judged so far; of {len(decided)} that are decided here and there, {same} agree.</p>"
    yield "<div class='scroll'><table><tr><th>claim</th><th>committed</th><th>this machine</th></tr>"
    for there, here in rows:
        yield f"<tr><td>{_text(here.claim.words)}</td>"
        for summary in (there, here):
            row = summary.quoted
            yield f"<td><span class='{_class(summary.status)}'>{WORDS[summary.status]}</span><br>"
            yield f"<small>{_text(interval(row)) if row else ''}</small></td>"
        yield "</tr>"
    yield "</table></div>"


def _figure(result: Result, folder: Path) -> Iterator[str]:
    name = result["figure"]
    yield f"<h3 id='{name}'>{_name(name)}: {_text(result['title'])}</h3>"
    picture = folder / f"{name}.png"
    if picture.exists():
        data = base64.b64encode(picture.read_bytes()).decode()
        yield f"<img alt='{_name(name)}' src='data:image/png;base64,{data}'>"
    yield f"<p class='caption'>{_text(result['caption'])} {_text(costs(result))}</p>"
    for condition, rows in result["verdicts"].items():
        if condition:
            yield f"<h4>{_text(condition)}</h4>"
        yield "<div class='scroll'><table class='verdicts'><tr><th>the paper</th><th>measured</th>"
        yield "<th>effect, 95% interval</th><th></th><th>verdict</th></tr>"
        for row in rows:
            yield from _verdict(row)
        yield "</table></div>"


def _verdict(row: Row) -> Iterator[str]:
    said = f"<q>{_text(row['sentence'])}</q> <small>({_text(row['section'])})</small>"
    if row["whose"] == "ours":
        said = f"<b>Ours:</b> {_text(row['sentence'])} <small>({_text(row['section'])})</small>"
    details = ", ".join(
        part for part in (row["test"], f"{row['runs']} runs" if row["runs"] > 1 else "", p_value(row)) if part
    )
    reason = f"<br><small>{_text(row['reason'])}</small>" if row["reason"] else ""
    yield (
        f"<tr><td>{said}</td><td>{_text(row['claim'])}<br><small>{_text(details)}</small></td>"
        f"<td class='number'>{_text(interval(row))}</td><td>{marks.bar(row)}</td>"
        f"<td class='{_class(row['decision'])}'>{WORDS[row['decision']]}{reason}</td></tr>"
    )


def _statements(statements: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not statements:
        return
    yield "<h2 id='statements'>Exact statements</h2><p>Computed in float64 on tiny networks; property tests in "
    yield "<code>tests/skip_paper/test_skip_paper_theory.py</code> try them on random ones.</p>"
    yield "<div class='scroll'><table><tr><th>the paper</th><th>as stated</th><th>computed</th><th>condition</th></tr>"
    for s in statements:
        kind, word = ("reproduced", "holds") if s["holds"] else ("contradicted", "does not hold")
        if s["by_construction"]:
            kind, word = "undecided", "holds by construction"
        yield f"<tr><td><q>{_text(s['sentence'])}</q> <small>({_text(s['section'])})</small></td>"
        yield f"<td class='{kind}'>{word}</td><td>{_text(s['found'])}</td><td>{_text(s['right'])}</td></tr>"
    yield "</table></div>"


def _warnings(content: Content) -> Iterator[str]:
    if any("not CIFAR" in c["caption"] for c in content.results):
        yield "<p class='warning'>Not CIFAR: these results do not reproduce the paper.</p>"
    if any(c["preset"] == "smoke" for c in content.results):
        yield "<p class='warning'>Preset smoke is a test of the program: its runs are no evidence.</p>"


def costs(result: Result) -> str:
    """Return when a figure was made, and how many runs diverged."""
    text = f"{result['date']}."
    if result["diverged_runs"]:
        text += f" {result['diverged_runs']} runs diverged; they count as the worst."
    return text


def _name(figure: str) -> str:
    return f"Figure {figure.removeprefix('fig')}" if figure.startswith("fig") else figure.replace("_", " ").capitalize()


def _class(word: str) -> str:
    return word.replace(" ", "-")


def _text(words: str) -> str:
    return html.escape(str(words), quote=False)
