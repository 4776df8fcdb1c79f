"""Finished runs as data: what is kept, what is not, and files that are damaged or of another version."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skip_paper import run_all
from skip_paper.runs import compute, finished
from skip_paper.runs.checking import specification_of
from skip_paper.runs.conditions import CONDITIONS
from skip_paper.runs.designs import Preset, Size
from skip_paper.runs.finished import FinishedRuns, ImageFacts, collected, compact, differences
from skip_paper.runs.presets import PRESETS
from skip_paper.runs.setting import Setting
from skip_paper.verdicts.table import CLAIMS, of_figure

FACTS = ImageFacts("CIFAR-10", (3, 32, 32), 10, 50_000, 10_000, "0123456789abcdef")


@pytest.fixture
def no_data(monkeypatch):
    monkeypatch.setattr("skip_paper.data.images.usual_places", list)
    monkeypatch.setenv("HESSDENS_OFFLINE", "1")


@dataclass(frozen=True)
class Spec:
    """A specification, as far as a file of finished runs knows it."""

    seed: int
    measure_at: tuple[int, ...] = (0, 1)

    def key(self):
        return f"run{self.seed}"


def arrays(seed, layers=5):
    rng = np.random.default_rng(seed)
    return {
        "train_accuracy": rng.uniform(0, 1, 2),
        "gradient_norm": rng.lognormal(0, 5, (2, layers)),
        "lanczos degenerate": 1 - rng.uniform(0, 1e-4, (2, 3)),
        "samples": rng.lognormal(0, 20, (2, 4, 4)),
        "diverged": np.array([False, seed == 1]),
        "eigenvalues": rng.normal(0, 1, (2, 100)),
    }


@pytest.fixture
def runs():
    return collected([(Spec(s), arrays(s)) for s in range(3)], {"cifar10": FACTS}, {"machine": "here"})


def test_a_file_gives_back_what_is_kept(runs, tmp_path):
    runs.save(tmp_path / "a.npz")
    back = FinishedRuns.load(tmp_path / "a.npz")
    assert back.images == runs.images
    assert back.origin == {"machine": "here"}
    assert back.specifications["run2"] == {"seed": 2, "measure_at": [0, 1]}
    assert back.find(Spec(9)) is None
    for seed in range(3):
        kept, original = back.find(Spec(seed)), arrays(seed)
        assert set(kept) == set(original) - {"eigenvalues"}
        np.testing.assert_array_equal(kept["samples"], original["samples"])
        np.testing.assert_array_equal(kept["diverged"], original["diverged"])
        np.testing.assert_allclose(kept["lanczos degenerate"], original["lanczos degenerate"], rtol=6e-8)
        np.testing.assert_allclose(kept["gradient_norm"], original["gradient_norm"], rtol=6.2e-5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=True, width=32, allow_subnormal=False), min_size=1, max_size=20))
def test_rounding_keeps_what_is_not_finite_and_its_size(values):
    array = np.array([values], dtype=np.float64)
    with np.errstate(over="ignore"):  # the largest float32 rounds to infinity
        kept = compact({"overlap": array})["overlap"].astype(np.float64)
    usual = np.abs(array) < 3e38
    np.testing.assert_array_equal(np.isnan(kept), np.isnan(array))
    np.testing.assert_allclose(kept[usual], array[usual], rtol=6.2e-5, atol=1e-37)


def test_rounding_pays(tmp_path):
    """Arrays by layer take a quarter less than in float32."""
    many = [(Spec(s), {"overlap": np.random.default_rng(s).normal(0, 1, (20, 20))}) for s in range(40)]
    collected(many, {}, {}).save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_size < 0.8 * 40 * 400 * 4


def test_more_runs_add_to_a_file(runs):
    more = collected([(Spec(2), arrays(7)), (Spec(5), arrays(5))], {}, {"machine": "there"})
    both = runs.merged(more)
    assert sorted(both.runs) == ["run0", "run1", "run2", "run5"]
    assert both.images == runs.images
    np.testing.assert_array_equal(both.find(Spec(2))["samples"], arrays(7)["samples"])


@pytest.mark.parametrize("place", [100, -200, 3000])
def test_a_damaged_file_is_named_and_stays(runs, tmp_path, place):
    path = tmp_path / "a.npz"
    runs.save(path)
    content = bytearray(path.read_bytes())
    for offset in range(8):
        content[place + offset] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz"):
        FinishedRuns.load(path)
    assert path.read_bytes() == bytes(content)


def test_another_version_is_named_and_stays(runs, tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    monkeypatch.setattr(finished, "FORMAT", 99)
    runs.save(path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"must be of format 1; .*a\.npz has format 99\. It stays as it is"):
        FinishedRuns.load(path)
    assert path.exists()


def test_differences_say_what_differs_and_by_how_much():
    one = arrays(0)
    other = {name: array.copy() for name, array in one.items()}
    other["train_accuracy"] = one["train_accuracy"] + 0.1 * one["train_accuracy"].max()
    found = differences(one, other)
    assert found["train_accuracy"] == pytest.approx(0.1)
    assert found["gradient_norm"] == 0
    assert "eigenvalues" not in found
    other["overlap"] = one["overlap"] = np.array([1.0])
    other["samples"] = one["samples"][:1]
    other["gradient_norm"][0, 0] = np.nan
    found = differences(one, other)
    assert found["samples"] == found["gradient_norm"] == np.inf
    assert json.dumps(found["overlap"]) == "0.0"


# The command


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Figure 7 of preset smoke, where no data and no network are at hand, and its runs as a file."""
    folder = tmp_path_factory.mktemp("trained")
    arguments = ["--preset", "smoke", "--only", "fig7", "--condition", "literal", "--results", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skip_paper.data.images.usual_places", list)
        patch.setenv("HESSDENS_OFFLINE", "1")
        assert run_all.main(arguments) == 0
        assert run_all.main([*arguments, "--collect", str(folder / "runs.npz")]) == 0
    return folder


def test_figures_from_a_file_are_those_of_the_runs(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("skip_paper.runs.compute.compute_group", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr(run_all, "load_images", lambda *_: pytest.fail("looked for images"))
    arguments = ["--preset", "smoke", "--only", "fig7", "--condition", "literal", "--results", str(tmp_path)]
    assert run_all.main([*arguments, "--from-finished", str(trained / "runs.npz")]) == 0
    one, other = (json.loads((folder / "fig7.json").read_text()) for folder in (trained, tmp_path))
    for group, again in zip(one["verdicts"].values(), other["verdicts"].values(), strict=True):
        for a, b in zip(group, again, strict=True):
            assert (a["key"], a["decision"], a["reason"]) == (b["key"], b["decision"], b["reason"])
            assert a["effect"] == pytest.approx(b["effect"], rel=1e-3, abs=1e-4), "what rounding in the file leaves"
    assert one["caption"] == other["caption"]
    assert other["environment"]["date"]
    assert (tmp_path / "fig7.pdf").exists()
    assert CLAIMS["7-dense"].sentence in (tmp_path / "report.html").read_text()


@pytest.mark.usefixtures("no_data")
def test_a_run_is_trained_again_and_compared(trained, capsys):
    arguments = ["--from-finished", str(trained / "runs.npz"), "--check"]
    assert run_all.main([*arguments, "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("NetworkSpec(architecture='residual', depth=6")
    rows = [line for line in lines if line.endswith("explained by rounding")]
    assert {row.split()[0] for row in rows} >= {"train_accuracy", "gradient_norm", "overlap"}
    assert not [row for row in rows if "NOT" in row]
    assert run_all.main([*arguments, "99"]) == 1
    assert "--check must be a number of a finished run, 0 to 7; got 99" in capsys.readouterr().err


@pytest.mark.usefixtures("no_data")
def test_a_run_that_differs_is_said_to(trained, tmp_path, capsys):
    runs = FinishedRuns.load(trained / "runs.npz")
    first = sorted(runs.runs)[0]
    other = {**runs.runs[first], "overlap": runs.runs[first]["overlap"] * 1.01}
    replace(runs, runs={**runs.runs, first: other}).save(tmp_path / "a.npz")
    assert run_all.main(["--from-finished", str(tmp_path / "a.npz"), "--check", "0"]) == 0
    wrong = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if "NOT explained" in line]
    assert [name for name, _ in wrong] == ["overlap"]
    assert float(wrong[0][1]) == pytest.approx(0.01, rel=0.05)


def test_a_damaged_file_ends_the_command(trained, tmp_path, capsys):
    content = (trained / "runs.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: len(content) // 2])
    assert run_all.main(["--from-finished", str(tmp_path / "a.npz"), "--results", str(tmp_path / "r")]) == 1
    assert "a.npz" in capsys.readouterr().err
    assert run_all.main(["--only", "fig7", "--preset", "smoke", "--collect", str(tmp_path / "a.npz")]) == 1
    assert (tmp_path / "a.npz").stat().st_size == len(content) // 2, "nothing is lost"


def test_specifications_come_back_from_a_file(trained):
    runs = FinishedRuns.load(trained / "runs.npz")
    for key, values in runs.specifications.items():
        assert specification_of(dict(values)).key() == key


def test_a_reader_sees_committed_runs_first(monkeypatch, trained):
    options = run_all._parse([])
    monkeypatch.setattr(run_all, "COMMITTED", trained / "runs.npz")
    assert run_all.is_first_view(options)
    for arguments in (["--preset", "smoke"], ["--only", "fig3"], ["--plot-only"], ["--seed-offset", "5"]):
        assert not run_all.is_first_view(run_all._parse(arguments))
    monkeypatch.setattr(run_all, "COMMITTED", trained / "absent.npz")
    assert not run_all.is_first_view(options)


@pytest.mark.usefixtures("no_data")
def test_a_machines_own_numbers_stand_next_to_committed_ones(trained, tmp_path, monkeypatch):
    design = next(d for d in PRESETS["smoke"].designs if d.figure == "fig7")
    study = replace(design, conditions=("literal",))
    own = replace(study, size=replace(design.size, first_seed=70))
    presets = {"study": Preset("study", (study,)), "laptop": Preset("laptop", (own,))}
    monkeypatch.setattr(run_all, "COMMITTED", trained / "runs.npz")
    monkeypatch.setattr(run_all, "FIGURES", {"fig7": run_all.FIGURES["fig7"]})
    monkeypatch.setattr(run_all, "PRESETS", presets)
    drawn = []
    compute_group = compute.compute_group
    page = tmp_path / "report.html"
    monkeypatch.setattr(compute, "compute_group", lambda *a: drawn.append(page.exists()) or compute_group(*a))
    assert run_all.main(["--results", str(tmp_path)]) == 0
    assert drawn
    assert all(drawn), "the report of committed runs is there before any training"
    first, second = (json.loads((folder / "fig7.json").read_text()) for folder in (tmp_path / "committed", tmp_path))
    assert (first["preset"], second["preset"]) == ("study", "laptop")
    text = (tmp_path / "report.html").read_text()
    assert "On this machine" in text
    assert "Exact statements" in text
    count = len(of_figure("fig7"))
    assert f"{count} claims judged so far; of 0 that are decided here and there, 0 agree." in text
    assert text.count("<img") == 1, "the committed figure"


def test_of_a_setting_what_is_finished_is_drawn():
    """Figure 7 with one data set of two; figure 3 without the variant of its skips."""
    facts = {name: replace(FACTS, fingerprint=name) for name in ("cifar10", "cifar100")}
    images = FinishedRuns({}, {}, facts, {}).images_of
    size = Size(2, 1, depth=2, width=4, values=(4, 2, 1), data=("cifar10", "cifar100"))

    def part(figure, has):
        store = SimpleNamespace(has=has)
        return run_all._finished_part(run_all.FIGURES[figure], Setting(size, CONDITIONS["literal"], store, images))

    assert part("fig7", lambda spec: True).size == size
    assert part("fig7", lambda spec: spec.data == "cifar100").size == replace(size, data=("cifar100",))
    assert part("fig7", lambda spec: spec.seed == 0) is None
    assert part("fig3", lambda spec: spec.network.num_skip_vectors is None).size == replace(size, values=())
