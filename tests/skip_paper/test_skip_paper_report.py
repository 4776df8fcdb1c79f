"""The report: what is said of made-up verdicts, and that nothing in it is lost or unescaped."""

import re
from collections import Counter
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from skip_paper.report import argument, marks
from skip_paper.report.argument import DISCUSSION, STEPS, survives
from skip_paper.report.markdown import markdown, statements_table
from skip_paper.report.page import Content, page
from skip_paper.report.summary import counts, interval, number, summaries
from skip_paper.verdicts.decisions import Verdict
from skip_paper.verdicts.evidence import Evidence, stopped
from skip_paper.verdicts.exact.statements import Statement
from skip_paper.verdicts.table import CLAIMS, of_figure

FIGURES = ("fig2", "fig3", "fig4", "fig5", "bias_targets", "fig6", "fig7", "fig8", *(f"figS{n}" for n in range(1, 8)))
GOOD = Evidence(2.0, 1.0, 3.0, (1.2, 2.8), 0.5, 0.001, 1.0, 1.0, 12, "Welch's t")
WRONG = Statement("a", "It is <always> so.", "note 1", False, "it is 2", "Only at zero error.")
RIGHT = Statement("b", "It is so.", "note 2", True, "it is 0")


def verdict(key, decision="reproduced", condition="10x16, calibrated", evidence=GOOD):
    return Verdict(CLAIMS[key], condition, evidence, 0.001, decision).as_dict()


def results(decide=lambda key: "reproduced", conditions=("10x16, calibrated",)):
    return [
        {
            "figure": figure, "title": "A title", "caption": "What is shown.", "preset": "study", "date": "2026-11-30",
            "seconds": 60.0, "diverged_runs": 0, "environment": {},
            "verdicts": {c: [verdict(key, decide(key), c) for key in of_figure(figure)] for c in conditions},
        }
        for figure in FIGURES
    ]  # fmt: skip


def content(found=None, own=None, statements=(WRONG, RIGHT)):
    return Content(found or results(), own or {}, [asdict(s) for s in statements], Path("nowhere"), "Committed.")


class Reader(HTMLParser):
    """Keeps text and tags, and checks that tags close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], Counter(), []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        if tag not in ("meta", "img", "br", "rect", "line", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_every_claim_and_its_sentence_are_in_both_reports():
    text, plain = page(content()), markdown(content())
    read = "".join(Reader(text).text)
    for claim in CLAIMS.values():
        assert claim.sentence in read, claim.key
        assert claim.words in read
        assert claim.sentence in plain
    assert "It is <always> so." in read
    assert "Only at zero error. Computed: it is 2." in read
    assert "Only at zero error. Computed: it is 2." in plain
    assert "| “It is so.” (note 2) | holds | it is 0 |  |" in list(statements_table([asdict(RIGHT)]))


def test_claims_are_counted_once_and_those_of_ours_not():
    of_paper = sum(claim.whose == "paper" for claim in CLAIMS.values())
    found = summaries(results(conditions=("10x16, literal", "10x16, calibrated")))
    assert counts(found) == {"reproduced": of_paper}
    assert counts(found, "ours") == {"reproduced": len(CLAIMS) - of_paper}
    assert f"{of_paper} claims of the paper" in "".join(Reader(page(content())).text)


def test_settings_that_disagree_are_said_to():
    found = results()
    group = found[1]["verdicts"]
    key = "3-accuracy-hyper"
    group["10x16, literal"] = [verdict(key, "contradicted", "10x16, literal")]
    group["30x128, literal"] = [verdict("3-accuracy-residual", "undecided", "30x128, literal")]
    statuses = {k: s.status for k, s in summaries(found).items()}
    assert statuses[key] == "mixed"
    assert statuses["3-accuracy-residual"] == "reproduced", "what is undecided in one setting takes nothing back"
    assert statuses["S4-small"] == "reproduced"
    assert {s.status for s in summaries([]).values()} == {"not run"}


def test_the_quoted_setting_does_not_depend_on_its_effect():
    rows = [verdict("S1-train", c, d) for c, d in (("reproduced", "10x16, literal"), ("reproduced", "x, calibrated"))]
    found = [{**results()[0], "verdicts": {"all": rows}}]
    assert summaries(found)["S1-train"].quoted["condition"] == "x, calibrated"


def test_steps():
    found = summaries(results())
    assert {step.state(found) for step in (*STEPS, *DISCUSSION)} == {"holds"}
    assert len(STEPS) == 7
    assert len(DISCUSSION) == 5
    assert all(key in CLAIMS for step in (*STEPS, *DISCUSSION) for key in step.keys)
    first = STEPS[3]
    for decisions, state in (
        (("reproduced", "contradicted"), "holds in part"), (("absent", "contradicted"), "fails"),
        (("undecided", "absent"), "fails"), (("undecided", "undecided"), "open"),
    ):  # fmt: skip
        table = dict(zip(first.main, decisions, strict=True))
        assert first.state(summaries(results(lambda key, table=table: table.get(key, "reproduced")))) == state


@pytest.mark.parametrize(
    ("decision", "ending"),
    [
        ("reproduced", "The hypothesis survives."),
        ("contradicted", "more speaks against the hypothesis than for it."),
        ("undecided", "these runs do not say whether the hypothesis survives."),
    ],
)
def test_the_answer_follows_from_the_verdicts(decision, ending):
    text = survives(summaries(results(lambda key: decision)))
    assert text.endswith(ending)
    assert text.startswith("Of the seven steps of the paper's argument, numbers 1, 2, 3, 4, 5, 6 and 7 ")
    assert "  " not in text
    some = survives(summaries(results(lambda key: "contradicted" if key.startswith("4-") else "reproduced")))
    assert "none are shown to predict which plain networks train well" in some
    assert "gradients at the start predict accuracy too" in some
    assert "The hypothesis survives in part" in some


def test_what_contradicts_the_paper_is_listed():
    found = results(lambda key: "contradicted" if key == "3-accuracy-hyper" else "reproduced")
    for text in (page(content(found)), markdown(content(found))):
        part = text[text.index("What contradicts the paper") : text.index("What we would put differently")]
        assert CLAIMS["3-accuracy-hyper"].sentence in part
        assert CLAIMS["3-accuracy-residual"].sentence not in part
    assert "Nothing that has been decided" in page(content())


def test_numbers_of_this_machine_stand_next_to_the_committed_ones():
    own = {"fig3": results(lambda key: "contradicted" if key == "3-accuracy-hyper" else "reproduced")[1]}
    text = "".join(Reader(page(content(own=own))).text)
    count = len(of_figure("fig3"))
    assert f"{count} claims judged so far; of {count} that are decided here and there, {count - 1} agree." in text
    assert "On this machine" not in page(content())


def test_smoke_and_other_images_are_warned_of():
    found = results()
    found[0] = {**found[0], "preset": "smoke", "caption": "digits (scikit-learn), not CIFAR"}
    text = page(content(found))
    assert "its runs are no evidence" in text
    assert "Not CIFAR: these results do not reproduce the paper" in text


def test_undecided_rows_say_why():
    found = results()
    row = verdict("2-slower", "undecided", evidence=stopped("chance level: plain 5.0%, chance 5%"))
    found[0]["verdicts"] = {"": [row]}
    text = page(content(found))
    assert "chance level: plain 5.0%, chance 5%" in text
    assert "not measured" in text


def test_bars_have_their_parts_in_place():
    row = verdict("3-accuracy-hyper")
    svg = marks.bar(row)
    left, right = (float(v) for v in re.search(r'<line x1="([\d.]+)" y1="9.0" x2="([\d.]+)"', svg).groups())
    dot = float(re.search(r'circle cx="([\d.]+)"', svg).group(1))
    assert marks.WIDTH / 2 < left < dot < right <= marks.WIDTH
    assert "<rect" in svg
    assert "<rect" not in marks.bar({**row, "margin": None})
    assert marks.bar(replace_row(row, effect=None, low=None, high=None)) == ""
    assert marks.strip({}) == ""
    widths = [
        float(w) for w in re.findall(r'width="([\d.]+)" height="26"', marks.strip({"reproduced": 3, "absent": 1}))
    ]
    assert widths == [450, 150]


def replace_row(row, **changes):
    return {**row, **changes}


def test_numbers_in_words():
    assert [number(v) for v in (None, 0.0, -1.23456, 1e-7, 123456.0)] == ["∞", "0", "−1.23", "1.0e-07", "1.2e+05"]
    assert number(2.0, sign=True) == "+2"
    assert interval(verdict("3-accuracy-hyper")) == "+2 (1 to 3) percentage points"
    assert interval(verdict("3-accuracy-hyper", evidence=replace(GOOD, low=float("nan"), high=float("nan")))) == (
        "+2 percentage points"
    )
    assert argument._listed(["a"]) == "a"
