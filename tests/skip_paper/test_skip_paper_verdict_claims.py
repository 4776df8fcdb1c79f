"""The list of claims and the rules in it, on made-up series of measurements."""

import math
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from skip_paper.verdicts.evidence import Evidence, computation
from skip_paper.verdicts.judge import judge, parameters
from skip_paper.verdicts.quantities import Quantity, Scene
from skip_paper.verdicts.rules import Computed, Larger, Level, Peak, Related, Rising, Slightly, Track, Varies
from skip_paper.verdicts.table import CLAIMS, LISTS, PLANS, of_figure

SCENE = Scene("here", 20, 4852)
ACCURACY = Quantity("train_accuracy", scale=100)
RNG = np.random.default_rng(0)


@dataclass
class Made:
    """A series of made-up runs: arrays (runs, times) or (runs, times, layers)."""

    label: str
    arrays: dict
    sources: dict = field(default_factory=dict)
    times: tuple = (0.0, 1.0, 2.0, 3.0)
    fits: object = None
    width: float = 0.0

    def has(self, name):
        return name in self.arrays

    def source(self, name):
        return self.sources.get(name, "lanczos")

    def epochs(self, name):
        return np.array(self.times)

    def values(self, name):
        array = self.arrays[name]
        return array if array.ndim == 2 else array.mean(axis=2)

    def ends(self, name):
        return self.values(name)[:, :, None] + self.width * np.array([-0.5, 0.5])

    def by_layer(self, name):
        return self.arrays[name]

    def of_runs(self, name):
        return self.values(name)[:, 1:].mean(axis=1)


def made(label, mean=0.3, *, name="train_accuracy", runs=12, spread=0.01, **options):
    noise = np.random.default_rng(len(label)).normal(0, spread, (runs, 4))
    arrays = {name: mean + noise}
    if name != "train_accuracy":
        arrays["train_accuracy"] = np.full((runs, 4), 0.3)
    return Made(label, arrays, **options)


def group(*series):
    return {s.label: s for s in series}


def evidence(rule, *series, margin=math.nan):
    return rule.evidence(group(*series), SCENE, margin)


# The list


def test_each_claim_stands_once_and_says_what_it_tests():
    keys = Counter(claim.key for claims in LISTS for claim in claims)
    assert set(keys.values()) == {1}
    assert len({(c.figure, c.words) for c in CLAIMS.values()}) == len(CLAIMS), "no measurement is judged twice"
    for claim in CLAIMS.values():
        assert claim.sentence.endswith((".", ".)")), claim.key
        assert claim.section
        assert claim.unit
        assert claim.kind == "larger" or claim.margin > 0, "that something is absent needs a margin"
        assert claim.whose in ("paper", "ours")


def test_every_figure_has_claims():
    figures = {claim.figure for claim in CLAIMS.values()}
    assert figures == {"bias_targets", *(f"fig{n}" for n in (*"2345678", "S1", "S2", "S3", "S4", "S5", "S6", "S7"))}
    assert set(PLANS) <= figures


def test_parameters_are_the_papers():
    assert [parameters(30, 128, 3072, 20), parameters(10, 32, 128, 20)] == [874_772, 14_292]


# Quantities


def test_quantities_of_times_and_layers():
    layers = np.arange(24.0).reshape(1, 4, 6) + 1
    series = Made("a", {"gradient_norm": layers})
    value = lambda **options: float(Quantity("gradient_norm", **options).of(series)[0])  # noqa: E731
    assert value() == layers[0, 1:].mean()
    assert value(when="start") == layers[0, 0].mean()
    assert value(when="first", layer="first") == 7
    assert value(when="last", layer="second") == 20
    assert value(when="fall") == -12
    assert value(when=(1.0, 3.0), layer="first", scale=10) == 130
    assert value(when="start", layer="decay", log=True) == pytest.approx(math.log10(6))
    assert value(when="start", layer="slope") == pytest.approx(1)
    assert not Quantity("gradient_norm", (7.0,)).is_in(series)
    assert not Quantity("overlap").is_in(series)


# Rules


def test_larger():
    good, bad = made("good", 0.4), made("a", 0.3)
    found = evidence(Larger("good", "a", ACCURACY), good, bad, margin=1.0)
    assert found.effect == pytest.approx(10, abs=1)
    assert found.p_sign < 1e-6
    assert evidence(Larger("a", "good", ACCURACY), good, bad).effect < 0
    assert evidence(Larger("good", "b", ACCURACY), good, bad).gate == "not measured: train accuracy of b"
    assert evidence(Larger("good", "a", Quantity("overlap")), good, bad).gate.startswith("not measured: overlap")


def test_a_dead_network_decides_no_accuracy():
    found = evidence(Larger("good", "dead", ACCURACY), made("good", 0.4), made("dead", 0.05, spread=0.001))
    assert found.gate.startswith("chance level: dead 5.")


def test_runs_that_diverge_count_as_chance_and_stop_other_quantities():
    good, bad = made("good", 0.4), made("a", 0.41)
    bad.arrays["train_accuracy"][:6] = np.nan
    good.arrays["overlap"] = bad.arrays["overlap"] = np.full((12, 4), np.nan)
    assert evidence(Larger("good", "a", ACCURACY), good, bad).effect > 10
    assert evidence(Larger("good", "a", Quantity("overlap")), good, bad).gate.startswith(
        "diverged: 12 of good, 12 of a"
    )


def fits(poor, *edges):
    fit = SimpleNamespace(is_poor=poor, on_edge=edges)
    return SimpleNamespace(fits=np.array([[fit] * 4] * 12, dtype=object))


def test_fractions_pass_their_gates():
    percent = Quantity("degenerate", scale=100)
    rule = Larger("many", "a", percent)
    mixture = {"degenerate": "mixture"}

    def pair(*, first, second):
        return (
            made("many", 0.99, name="degenerate", spread=0.001, sources=mixture, fits=first),
            made("a", 0.9, name="degenerate", spread=0.001, sources=mixture, fits=second),
        )

    good, poor, edge = fits(False), fits(True), fits(False, "weight upper")
    assert evidence(rule, *pair(first=good, second=good)).sides == (True, True, True)
    assert evidence(rule, *pair(first=good, second=poor)).gate.startswith("poor fit: 48 of 48")
    assert evidence(rule, *pair(first=edge, second=good)).sides == (False, True, False)
    assert evidence(rule, *pair(first=good, second=edge)).sides == (True, False, False)
    exact = made("many", 0.99, name="degenerate", fits=poor), made("a", 0.9, name="degenerate", fits=poor)
    assert evidence(rule, *exact).gate == "", "poor mixtures do not matter where Lanczos or exact spectra decide"
    near = made("many", 0.9, name="degenerate", spread=1e-6), made("a", 0.9001, name="degenerate", spread=1e-6)
    assert evidence(rule, *near).gate.startswith("fewer than one eigenvalue: 0.4")


def test_what_no_number_of_runs_resolves_is_not_judged():
    """Intervals of 4 points each do not separate kinds 3 points apart; those of 2 do."""
    rule = Larger("more", "a", Quantity("degenerate", scale=100))
    for width, gate in ((0.02, ""), (0.04, "not resolved by lanczos_density: more 8")):
        kinds = [made(k, m, name="degenerate", spread=1e-3, width=width) for k, m in (("more", 0.83), ("a", 0.8))]
        assert evidence(rule, *kinds).gate.startswith(gate)
        assert bool(evidence(rule, *kinds).gate) == bool(gate)
        assert not evidence(rule, *(Made(k.label, k.arrays, {"degenerate": "exact"}, width=9.0) for k in kinds)).gate
    falling = Quantity("degenerate", "fall", scale=100)
    series = Made("a", {"degenerate": np.tile([0.9, 0.9, 0.8, 0.7], (3, 1))}, width=0.1)
    np.testing.assert_allclose(falling.ends(series), [10, 30])


def test_slightly_is_the_second_half():
    found = evidence(Slightly("best", "a", "far!!", ACCURACY), made("best", 0.5), made("a", 0.45), made("far!!", 0.2))
    assert found.effect == pytest.approx(0.33, abs=0.05)


def test_trends():
    numbers = [made(str(n), 0.2 + 0.05 * i, spread=0.01) for i, n in enumerate((1, 2, 16, 128))]
    other = made("identity", 0.9)
    assert evidence(Rising(ACCURACY), *numbers, other).effect == pytest.approx(5, abs=1)
    assert evidence(Rising(ACCURACY, falling=True), *numbers).effect == pytest.approx(-5, abs=1)
    assert "a trend needs 3" in evidence(Rising(ACCURACY), *numbers[:2], other).gate
    taus = [made(f"τ = {t}", 0.4 - t, spread=0.01) for t in (0.0, 0.05, 0.1)]
    for series, start in zip(taus, (1.0, 2.0, 3.0), strict=True):
        series.arrays["gradient_norm"] = np.full((12, 4, 3), start)
    rule = Rising(ACCURACY, "τ = ", falling=True, same_start=True)
    assert evidence(rule, *taus).gate == ""
    taus[2].arrays["gradient_norm"] *= 100
    assert evidence(rule, *taus).gate.startswith("confounded: gradients at the start")


def test_relations_over_runs():
    x, noise, start = RNG.normal(0, 1, (3, 100))
    accuracy = 0.4 - 0.02 * x + 0.01 * noise
    columns = {
        "train_accuracy": np.tile(accuracy[:, None], 4), "overlap": np.tile(x[:, None], 4),
        "gradient_norm": np.exp(start)[:, None, None] * np.ones((100, 4, 2)),
    }  # fmt: skip
    series = Made("all", columns)
    rule = Related("all", Quantity("overlap"), ACCURACY, falling=True)
    assert evidence(rule, series).effect > 0.6
    given = Related("all", Quantity("overlap"), ACCURACY, given=Quantity("gradient_norm", "start"), falling=True)
    assert evidence(given, series).effect > 0.6
    assert "partial" in evidence(given, series).test
    series.arrays["train_accuracy"][3] = np.nan
    assert evidence(rule, series).effect > 0.5, "a run that diverged is the worst"


def test_spread_over_runs():
    assert evidence(Varies("all", ACCURACY, 1.0), made("all", 0.3, spread=0.1, runs=50)).effect > 1


def test_levels_and_tracks():
    series = made("a", 0.3)
    assert evidence(Level("a", ACCURACY, 20.0), series).effect == pytest.approx(10, abs=1)
    assert evidence(Level("a", ACCURACY, 20.0, below=True), series).effect == pytest.approx(-10, abs=1)
    rise = np.arange(4.0) + RNG.normal(0, 0.3, (12, 4))
    both = Made("a", {"overlap": rise, "train_accuracy": -rise})
    assert evidence(Track("a", Quantity("overlap"), ACCURACY, falling=True), both).effect > 0.8
    assert (
        "needs 4" in evidence(Track("a", Quantity("overlap"), ACCURACY), Made("a", both.arrays, times=(0, 1, 2))).gate
    )


def test_a_peak_is_above_both_ends():
    means = {"x 0": 0.3, "xx 1": 0.4, "xxx 2": 0.36, "xxxx 4": 0.2}
    kinds = [made(label, mean) for label, mean in means.items()]
    low, one, two, high = means
    assert evidence(Peak((low,), (one, two), (high,), ACCURACY), *kinds).effect == pytest.approx(8, abs=1)
    assert evidence(Peak((low, high), (two,), (one,), ACCURACY), *kinds).effect == pytest.approx(-4, abs=1)
    assert "against the better end" in evidence(Peak((low,), (one,), (high,), ACCURACY), *kinds).test
    assert evidence(Peak((low,), (one,), ("y",), ACCURACY), *kinds).gate == "not measured: train accuracy of y"


# A figure


def test_judging_a_figure():
    series = group(made("plain", 0.3), made("residual", 0.4), made("hyper-residual", 0.35))
    verdicts = {v.claim.key: v for v in judge("fig3", series, SCENE)}
    assert list(verdicts) == list(of_figure("fig3"))
    assert verdicts["3-accuracy-residual"].decision == "reproduced"
    assert verdicts["3-accuracy-hyper"].decision == "contradicted"
    assert verdicts["3-degenerate-plain"].decision == "undecided"
    assert verdicts["3-degenerate-plain"].reason == "not measured: degenerate of plain, residual"
    assert {v.condition for v in verdicts.values()} == {"here"}


def test_computed_evidence():
    verdicts = {v.claim.key: v for v in judge("figS4", {}, SCENE, {"S4-equal": computation(True, 1.0, "once")})}
    assert verdicts["S4-equal"].decision == "reproduced"
    assert verdicts["S4-small"].reason == "not computed: 20 random starts"
    with pytest.raises(ValueError, match=r"Evidence must be on claims of figS4; got \['S5-hyper'\]"):
        judge("figS4", {}, SCENE, {"S5-hyper": Evidence(*[0.0] * 3, (0, 0), *[0.0] * 4, 1, "")})
    assert isinstance(CLAIMS["S4-small"].rule, Computed)
