"""The README's example runs and prints what the README says, and its numbers are those of the results."""

import json
import re
from pathlib import Path

import matplotlib as mpl
import pytest
from printed import run_blocks
from skip_paper.report.summary import counts, summaries

mpl.use("Agg")

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"


def test_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_blocks(README) == 1
    assert (tmp_path / "density.png").stat().st_size > 1000


def test_links_lead_somewhere():
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()) if "://" not in target]
    assert len(targets) > 5
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_products_are_so_many_times_as_fast():
    ratios = []
    for entry in json.loads((RESULTS / "hvp.json").read_text())["models"].values():
        times = {name: row["microseconds"] for name, row in entry["contenders"].items() if "microseconds" in row}
        others = [time for name, time in times.items() if not name.startswith(("hessdens", "torch.func"))]
        ratios.append(min(others) / times["hessdens"])
    assert f"{min(ratios):.1f} to {max(ratios):.1f} times as fast" in README.read_text()
    assert len(ratios) == 5


def test_densities_are_so_often_nearest():
    verdict = pytest.importorskip("spectra.verdict")
    duels = verdict.duels(verdict.load(), "densities", "lanczos_density", ("distance",))
    mine = [duel for duel in duels if duel.kind == "network" and duel.products == 100]
    assert f"on {sum(duel.ratio <= 1 for duel in mine)} of {len(mine)} spectra of networks" in README.read_text()


def test_traces_are_so_near():
    rows = json.loads((RESULTS / "peers_agreement.json").read_text())["trace"]
    by_call = {(row["library"], row["call"]): row for row in rows}
    ours, theirs = by_call["hessdens", "spectral_moments(H, max_products=99)"], by_call["PyHessian", "trace()"]
    text = " ".join(README.read_text().split())
    assert f"a trace from 99 products is off by {ours['error']:.1%}" in text
    assert f"stops after {theirs['products']:.0f}, at {theirs['error']:.1%}" in text


def test_claims_of_the_paper_are_counted():
    """As the report counts them: each claim once, over all conditions in which it was judged."""
    figures = sorted((ROOT / "docs" / "figures").glob("fig*.json"))
    found = counts(summaries([json.loads(path.read_text()) for path in figures]))
    text = " ".join(README.read_text().split())
    claimed = (
        f"Of the paper's {sum(found.values())} claims, the runs that are finished reproduce {found['reproduced']}, "
        f"contradict {found['contradicted']}, find no effect in {found['absent']} and leave {found['undecided']} open; "
        f"{found['mixed']} depends on the condition, and {found['not run']} are still to be run."
    )
    assert claimed in text
