"""The whole command on the embedded digits: figures, report, resumption, and bad input."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from skip_paper import run_all
from skip_paper.data.images import REPOSITORY, load_digits
from skip_paper.figures import figS3
from skip_paper.figures.parts import best_and_worst, figS3_points
from skip_paper.measures.fits import fit_fractions, mean_and_error
from skip_paper.measures.series import Series
from skip_paper.runs import compute
from skip_paper.runs.conditions import CONDITIONS
from skip_paper.runs.designs import Size
from skip_paper.runs.presets import PRESETS
from skip_paper.runs.setting import Setting
from skip_paper.runs.store import RunStore

from hessdens.mixture import SkewNormalMixture

DIGITS = "digits (scikit-learn), not CIFAR"
SCRIPT = REPOSITORY / "examples" / "skip_paper" / "run_all.py"


@pytest.fixture
def no_data(monkeypatch):
    monkeypatch.setattr("skip_paper.data.images.usual_places", list)
    monkeypatch.setenv("HESSDENS_OFFLINE", "1")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The whole command where no data and no network are at hand."""
    folder = tmp_path_factory.mktemp("smoke")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skip_paper.data.images.usual_places", list)
        patch.setenv("HESSDENS_OFFLINE", "1")
        assert run_all.main(["--preset", "smoke", "--results", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("name", run_all.FIGURES)
def test_every_figure_says_what_it_shows(smoke, name):
    assert (smoke / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    content = json.loads((smoke / f"{name}.json").read_text())
    assert content["preset"] == "smoke"
    if name not in run_all.THEORY:
        assert "digits (scikit-learn)" in content["caption"]
        assert content["verdicts"] or name == "calibration"
        for verdicts in content["verdicts"].values():
            assert {v["decision"] for v in verdicts} == {"undecided"}, "three runs and four steps decide nothing"
            assert all(v["reason"] and v["figure"] == name for v in verdicts)


class Reader(HTMLParser):
    """Counts tags, and keeps the text."""

    def __init__(self):
        super().__init__()
        self.tags, self.text, self.sources = Counter(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.sources += [value[:22] for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text.append(data)


def test_report_holds_all_figures_and_claims(smoke):
    reader = Reader()
    reader.feed((smoke / "report.html").read_text())
    contents = [json.loads((smoke / f"{name}.json").read_text()) for name in run_all.FIGURES]
    assert reader.tags["img"] == len(contents)
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in reader.sources)
    text, plain = "".join(reader.text), (smoke / "report.md").read_text()
    assert "Not CIFAR: these results do not reproduce the paper" in text
    assert "its runs are no evidence" in text
    assert plain.count("![") == len(run_all.FIGURES)
    for content in contents:
        assert content["caption"] in text
        for group in content["verdicts"].values():
            for verdict in group:
                assert verdict["sentence"] in text
                assert verdict["claim"] in plain


@pytest.mark.usefixtures("no_data")
def test_finished_runs_are_not_repeated(smoke, monkeypatch, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in (smoke / "runs").glob("*.npz")}
    seconds = json.loads((smoke / "fig4.json").read_text())["seconds"]
    monkeypatch.setattr("skip_paper.runs.compute.compute_group", lambda *_: pytest.fail("repeated a finished run"))
    arguments = ["--preset", "smoke", "--results", str(smoke), "--only", "fig3,fig4,figS2"]
    assert run_all.main(arguments) == 0
    assert run_all.main([*arguments, "--plot-only"]) == 0
    assert before == {path.name: path.stat().st_mtime_ns for path in (smoke / "runs").glob("*.npz")}
    assert json.loads((smoke / "fig4.json").read_text())["seconds"] == seconds, "the time that its runs took"
    capsys.readouterr()
    assert run_all.main([*arguments, "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["fig3", "6x16"], ["fig3", "6x16"], ["figS2", "6x4"], ["fig4", "6x16"],
    ]  # fmt: skip
    assert all(line.split()[4] == "0" for line in lines[1:5])


@pytest.mark.usefixtures("no_data")
def test_one_condition_is_drawn_and_judged(smoke, tmp_path):
    shutil.copytree(smoke / "runs", tmp_path / "runs")
    arguments = ["--preset", "smoke", "--results", str(tmp_path), "--only", "fig6,figS6", "--plot-only"]
    assert run_all.main([*arguments, "--condition", "calibrated"]) == 0
    for name in ("fig6", "figS6"):
        both, one = (json.loads((folder / f"{name}.json").read_text()) for folder in (smoke, tmp_path))
        calibrated = [key for key in both["verdicts"] if "calibrated" in key]
        assert list(one["verdicts"]) == list(one["numbers"]) == calibrated != list(both["verdicts"])
        assert all(one["verdicts"].values())
        with Image.open(tmp_path / f"{name}.png") as half, Image.open(smoke / f"{name}.png") as whole:
            assert whole.height > 1.5 * half.height


@pytest.mark.usefixtures("no_data")
def test_other_seeds_are_other_runs(tmp_path, capsys):
    folder = ["--results", str(tmp_path), "--only", "figS1", "--condition", "literal"]
    assert run_all.main(["--preset", "smoke", *folder]) == 0
    capsys.readouterr()
    assert run_all.main(["--preset", "smoke", *folder, "--seed-offset", "50", "--list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[3:5] == ["6", "6"]


@pytest.mark.usefixtures("no_data")
def test_list_projects_what_is_missing(tmp_path, capsys):
    assert run_all.main(["--preset", "smoke", "--results", str(tmp_path), "--only", "fig3,figS1", "--list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[3:5] for line in lines[1:4]] == [["9", "9"], ["9", "9"], ["6", "6"]]
    assert not list((tmp_path / "runs").glob("*.npz"))


@pytest.mark.usefixtures("no_data")
def test_plots_of_missing_runs_are_left_out(tmp_path, capsys):
    assert run_all.main(["--preset", "smoke", "--results", str(tmp_path), "--only", "fig4", "--plot-only"]) == 0
    assert "fig4: its runs are not all finished, so it is not drawn" in capsys.readouterr().out
    assert not (tmp_path / "fig4.png").exists()


@pytest.mark.usefixtures("no_data")
def test_best_and_worst_are_by_mean_accuracy(smoke):
    size = next(design.size for design in PRESETS["smoke"].designs if design.figure == "fig4")
    setting = Setting(size, CONDITIONS["literal"], RunStore(smoke / "runs"), lambda name: load_digits())
    best, worst = best_and_worst.chosen_seeds(setting, "cifar100")
    means = [setting.store.find(s)["train_accuracy"][1:].mean() for s in best_and_worst.runs(setting, "cifar100")]
    assert min(means[seed] for seed in best) >= max(means[seed] for seed in worst)
    assert len(best) == len(worst) == size.chosen


def _results(folder):
    numbers = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        if path.stem != "statements":
            numbers[path.stem] = {key: content[key] for key in ("verdicts", "numbers", "caption", "diverged_runs")}
    return numbers


def test_killed_command_ends_with_the_same_results(tmp_path):
    """SIGKILL at random moments of a run; `benchmarks/killed_runs.py` does so for the whole preset."""
    environment = {**os.environ, "HESSDENS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    places = {"HESSDENS_DATA": ""}
    code = (
        "import sys; from skip_paper import run_all; from skip_paper.data import images; images.usual_places = list; "
        "sys.exit(run_all.main(sys.argv[1:]))"
    )
    arguments = ["--preset", "smoke", "--only", "fig4", "--results"]

    def start(folder):
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments, str(folder)],
            env={**environment, **places, "PYTHONPATH": str(SCRIPT.parents[1])},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    whole = start(tmp_path / "whole")
    begin = time.monotonic()
    assert whole.wait() == 0
    seconds = time.monotonic() - begin
    rng = np.random.default_rng(0)
    finished: set[str] = set()
    for _ in range(3):
        process = start(tmp_path / "killed")
        time.sleep(rng.uniform(0.5, 1) * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = {path.name for path in (tmp_path / "killed" / "runs").glob("*.npz") if "partial" not in path.name}
        assert finished <= kept
        finished = kept
    assert start(tmp_path / "killed").wait() == 0
    assert _results(tmp_path / "killed") == _results(tmp_path / "whole")


@pytest.mark.usefixtures("no_data")
def test_ranks_share_out_the_runs_and_the_first_draws(tmp_path, monkeypatch, capsys):
    """Rank 1 computes all and draws nothing; rank 0, later here, finds all computed and draws."""
    arguments = ["--preset", "smoke", "--only", "fig1,fig3", "--results", str(tmp_path)]
    computed = []
    compute_group = compute.compute_group
    monkeypatch.setattr(
        compute, "compute_group", lambda specs, *rest: computed.append(specs) or compute_group(specs, *rest)
    )
    for rank, drawn in ((1, set()), (0, {"fig1.png", "fig3.png"})):
        monkeypatch.setattr(run_all, "RANK", rank)
        assert run_all.main(arguments) == 0
        assert {path.name for path in tmp_path.glob("*.png")} == drawn
        assert (tmp_path / "report.html").exists() == (rank == 0)
        assert bool(capsys.readouterr().out) == (rank == 0)
        assert bool(computed) == (rank == 1)
        computed.clear()


@pytest.mark.usefixtures("no_data")
def test_full_disk(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("skip_paper.runs.compute.compute_group", full)
    assert run_all.main(["--preset", "smoke", "--only", "fig3", "--results", str(tmp_path)]) == 1
    assert "the disk is full. What is written is whole: make room, and the same command" in capsys.readouterr().err


@pytest.mark.usefixtures("no_data")
def test_interruption(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("skip_paper.runs.compute.compute_group", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run_all.main(["--preset", "smoke", "--only", "fig3", "--results", str(tmp_path)]) == 130
    assert "Interrupted. Finished runs are kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "huge"], "invalid choice: 'huge' .choose from"),
        (["--only", "fig9"], "figures must be of fig1, fig2, .*figS7; got 'fig9'"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--condition", "wild"], "invalid choice: 'wild' .choose from"),
    ],
)
def test_unknown_choices_list_the_known(arguments, message, capsys):
    with pytest.raises(SystemExit):
        run_all.main(arguments)
    assert re.search(message, capsys.readouterr().err)


def test_errors_end_the_command_with_a_message(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run_all.main(["--data", str(tmp_path / "empty"), "--results", str(tmp_path / "r")]) == 1
    assert "run_all.py: --data must be a folder with CIFAR-100" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert run_all.main(["--device", "cuda", "--results", str(tmp_path / "r")]) == 1
        assert "--device cuda needs a CUDA device" in capsys.readouterr().err


def test_help_runs_from_any_folder(tmp_path):
    result = subprocess.run(
        [sys.executable, SCRIPT, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "--preset {smoke,laptop,study,paper}" in result.stdout


def test_presets_have_all_experiments():
    trained = set(run_all.FIGURES) - set(run_all.THEORY)
    assert all({design.figure for design in preset.designs} == trained for preset in PRESETS.values())
    paper = {design.figure: design.size for design in PRESETS["paper"].designs}
    assert (paper["fig3"].runs, paper["fig3"].epochs, paper["fig3"].depth, paper["fig3"].width) == (50, 100, 20, 128)
    assert (paper["fig4"].runs, paper["fig4"].chosen, paper["fig4"].depth) == (100, 10, 30)
    assert (paper["figS2"].runs, paper["figS2"].chosen, paper["figS2"].epochs) == (400, 40, 150)
    assert (paper["fig7"].runs, paper["figS1"].runs, paper["figS6"].runs) == (10, 4, 16)
    assert paper["figS3"].width == 32


def test_experiments_have_seeds_of_their_own():
    """Except figures 5 and 6, which show the same networks, and the skips of figures 3, 7 and 8."""
    sizes = {design.figure: design.size for design in PRESETS["study"].designs}
    alone = ("fig4", "figS1", "figS2", "figS3", "figS6", "figS7", "bias_targets")
    seeds = [set(range(sizes[f].first_seed, sizes[f].first_seed + sizes[f].runs)) for f in ("fig3", *alone)]
    assert len(set().union(*seeds)) == sum(map(len, seeds))


def test_measurements_stand_for_the_time_before_them():
    run = {"train_accuracy": np.array([9.0, 1.0, 2.0, 4.0]), "lanczos degenerate": np.array([[1.0] * 3, [3.0] * 3])}
    series = Series("", "", [run], np.array([0.0, 1.0, 2.0, 6.0]), np.array([1.0, 6.0]))
    assert series.of_runs("train_accuracy") == pytest.approx((1 + 2 + 4 * 4) / 6)
    assert series.of_runs("degenerate") == pytest.approx(2)
    assert series.source("degenerate") == "lanczos"


def test_fractional_epochs_stay_where_they_are(tmp_path):
    size = Size(1, 2, 500, depth=2, width=4, spectrum_epochs=(0.5, 2), spectrum_examples=50)
    setting = Setting(size, CONDITIONS["literal"], RunStore(tmp_path), lambda name: load_digits())
    series = setting.series("", "", setting.specs(setting.network("plain")))
    np.testing.assert_allclose(series.measured_epochs, [0, 0.5, 1, 2])
    np.testing.assert_allclose(series.epochs("mixture degenerate"), [0.5, 2])
    assert setting.specs(setting.network("plain"))[0].measure_at == (0, 1, 2, 4)


def test_fractions_of_moments_without_a_fit():
    mixture = SkewNormalMixture(1e-4, 1.0, 10.0, 0.0)
    samples = np.stack([np.tile(mixture.moments(4), (3, 1)), np.full((3, 4), np.nan), np.zeros((3, 4))])
    fractions = fit_fractions(samples)
    assert fractions.degenerate[0] == pytest.approx(mixture.fraction_degenerate(), abs=2e-5)
    assert np.isnan(fractions.degenerate[1:]).all()
    assert fractions.fits[1] is None


def test_a_wider_grid_can_say_what_the_papers_cannot():
    mixture = SkewNormalMixture(4e-3, 1.0, 10.0, 0.0)
    samples = np.tile(mixture.moments(4), (1, 3, 1))
    true = mixture.fraction_degenerate()
    assert true < 0.9965
    assert fit_fractions(samples).degenerate[0] > 0.999, "the edge of the paper's grid"
    assert fit_fractions(samples, largest_weight=1e-2).degenerate[0] == pytest.approx(true, abs=6e-4)
    narrow = fit_fractions(samples, narrow_scale=1e-2)
    assert narrow.fits[0].mixture.narrow_scale == 1e-2


def test_figure_s3_counts_each_network_once():
    """Twelve networks at two times: estimates are 0.02 points too low, and too high on the wider grid."""
    rng = np.random.default_rng(0)
    network = np.repeat(np.arange(12), 2)
    actual = 0.9991 + 1e-4 * np.repeat(rng.uniform(-1, 1, 12), 2)
    noise = 1e-5 * rng.normal(0, 1, 24)
    estimated = actual - 2e-4 + noise
    everything = np.ones(24, dtype=bool)
    points = figS3_points.Points(
        {"degenerate": actual, "negative": 1 - actual}, {"degenerate": estimated, "negative": 1 - estimated},
        ~everything, everything, None, network, (estimated + 1e-6 * noise, estimated), actual + 2e-4 + noise,
    )  # fmt: skip
    found = figS3.evidence(points)
    assert {evidence.runs for evidence in found.values()} == {12}
    assert found["S3-degenerate"].effect == pytest.approx(0.02, abs=0.002)
    assert found["S3-degenerate"].p_sign < 1e-6
    assert found["S3-negative"].effect == pytest.approx(0.02, abs=0.002)
    assert found["S3-wider"].effect == pytest.approx(-0.02, abs=0.002)
    assert found["S3-line-degenerate"].effect > 0.9
    assert found["S3-narrow"].p_absent < 1e-6
    few = replace(points, selected=network < 7)
    assert figS3.evidence(few) == {}


def test_mean_and_standard_error_skip_missing_runs():
    mean, error = mean_and_error(np.array([[1.0, np.nan], [2.0, 5.0], [3.0, 7.0]]))
    np.testing.assert_allclose(mean, [2, 6])
    np.testing.assert_allclose(error, [1 / np.sqrt(3), 1])


def test_regression_band_against_a_prediction_by_hand():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.998, 1, 20)
    y = 0.5 * x + 0.4 + 1e-4 * rng.standard_normal(20)
    everything = np.ones(20, dtype=bool)
    points = figS3_points.Points({"degenerate": x}, {"degenerate": y}, ~everything, everything)
    regression = points.regression("degenerate")
    design = np.column_stack([np.ones(20), x])
    coefficients, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    at = np.array([1.0, 0.9985])
    line, half = regression.band(np.array([0.9985]))
    variance = residual[0] / 18 * at @ np.linalg.inv(design.T @ design) @ at
    assert line[0] == pytest.approx(coefficients @ at)
    assert half[0] == pytest.approx(stats.t.ppf(0.975, 18) * np.sqrt(variance), rel=1e-4)
    few = figS3_points.Points({"degenerate": x}, {"degenerate": y}, ~everything, np.arange(20) < 2)
    assert few.regression("degenerate") is None
