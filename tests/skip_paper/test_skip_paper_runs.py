"""Training, the run store, statistics of the figures, and the whole command on the embedded digits."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats
from skip_paper import figure3, figureS3, run_all
from skip_paper.data import REPOSITORY, load_digits, prepare
from skip_paper.fits import fit_fractions, mean_and_error
from skip_paper.networks import SkipNetwork
from skip_paper.presets import PRESETS
from skip_paper.runs import RunSpec, RunStore, compute_run
from skip_paper.training import train

from hessdens import SkewNormalMixture

SPEC = RunSpec("digits", 100, None, "residual", 3, 6, "centred", 1.0, 0, (0, 2, 5), 50, 4, True)


@pytest.fixture(scope="module")
def examples():
    return prepare(load_digits(), num_train=100)


@pytest.fixture(scope="module")
def arrays(examples):
    return compute_run(SPEC, examples, 10, torch.device("cpu"))


def test_run_is_decided_by_its_specification(examples, arrays):
    torch.manual_seed(99)
    again = compute_run(SPEC, examples, 10, torch.device("cpu"))
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, again[name])
    assert not arrays["diverged"].any()
    assert arrays["eigenvalues"].shape == (3, 64 * 6 + 6 + 2 * 42 + 70)


def test_stored_moments_agree_with_the_exact_eigenvalues(arrays):
    exact = np.mean(arrays["eigenvalues"] ** 2, axis=1)
    estimate, error = arrays["samples"][:, :, 1].mean(axis=1), arrays["samples"][:, :, 1].std(axis=1, ddof=1) / 2
    assert np.all(np.abs(estimate - exact) < 6 * error)


def test_exact_spectra_do_not_disturb_the_training(examples, arrays):
    plain = RunSpec(**{**SPEC.__dict__, "exact": False})
    np.testing.assert_array_equal(
        compute_run(plain, examples, 10, torch.device("cpu"))["train_accuracy"], arrays["train_accuracy"]
    )


def test_every_example_is_used_once_an_epoch():
    seen = []

    class Spy(torch.nn.Linear):
        def forward(self, x):
            seen.extend(x[:, 0].tolist())
            return super().forward(x)

    inputs = torch.arange(12.0)[:, None]
    for _ in train(Spy(1, 2), inputs, torch.zeros(12, dtype=torch.int64), measure_at=(3, 6), seed=0, batch_size=4):
        pass
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]


def test_divergence_is_recorded(examples):
    broken = type(examples)((examples.train[0] * torch.inf, examples.train[1]), examples.test)
    result = compute_run(SPEC, broken, 10, torch.device("cpu"))
    assert result["diverged"].all()
    assert np.isnan(result["samples"]).all()


def test_training_reports_losses_that_are_not_finite():
    network = SkipNetwork("plain", 2, 2, depth=1, width=2, seed=0)
    pauses = train(network, torch.full((4, 2), torch.nan), torch.zeros(4, dtype=torch.int64), measure_at=(0, 1), seed=0)
    assert list(pauses) == [True, False]


def test_store_repeats_nothing_and_survives_damage(tmp_path, capsys):
    store, calls = RunStore(tmp_path / "runs"), []

    def compute(spec):
        calls.append(spec)
        return {"value": np.array(float(spec.seed))}

    store.get(SPEC, compute)
    assert store.get(SPEC, compute)["value"] == 0
    assert len(calls) == 1
    other = RunSpec(**{**SPEC.__dict__, "seed": 1})
    assert store.get(other, compute)["value"] == 1
    path = tmp_path / "runs" / f"{SPEC.key()}.npz"
    path.write_bytes(path.read_bytes()[:100])
    assert store.find(SPEC) is None
    assert "Repeating a run, because its file is damaged" in capsys.readouterr().err
    store.get(SPEC, compute)
    assert store.find(SPEC)["value"] == 0
    assert len(calls) == 3


def test_interrupted_run_leaves_no_file(tmp_path):
    store = RunStore(tmp_path)

    def interrupt(spec):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.get(SPEC, interrupt)
    assert store.find(SPEC) is None
    assert list(tmp_path.iterdir()) == []


def test_unwritable_results(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"results folder must be writable; .*file/runs is not"):
        RunStore(tmp_path / "file" / "runs")


def test_fractions_of_moments_without_a_fit():
    mixture = SkewNormalMixture(1e-4, 1.0, 10.0, 0.0)
    samples = np.stack([np.tile(mixture.moments(4), (3, 1)), np.full((3, 4), np.nan), np.zeros((3, 4))])
    fractions = fit_fractions(samples)
    assert fractions.degenerate[0] == pytest.approx(mixture.fraction_degenerate(), abs=2e-5)
    assert np.isnan(fractions.degenerate[1:]).all()
    assert fractions.fits[1] is None


def test_mean_and_standard_error_skip_missing_runs():
    mean, error = mean_and_error(np.array([[1.0, np.nan], [2.0, 5.0], [3.0, 7.0]]))
    np.testing.assert_allclose(mean, [2, 6])
    np.testing.assert_allclose(error, [1 / np.sqrt(3), 1])


def test_verdicts_count_standard_errors():
    large, small = (np.array([3.0, 1.0, 1.1]), np.full(3, 0.3)), (np.full(3, 1.0), np.full(3, 0.4))
    words = [v["verdict"] for v in figure3._verdicts(large, small)]
    assert words == ["holds", "not decided", "not decided"]
    assert figure3._verdicts(small, large)[0]["verdict"] == "reversed"
    assert figure3._verdicts(large, small)[0]["z"] == pytest.approx(4)


def test_regression_band_against_a_prediction_by_hand():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.998, 1, 20)
    y = 0.5 * x + 0.4 + 1e-4 * rng.standard_normal(20)
    everything = np.ones(20, dtype=bool)
    points = figureS3.Points({"degenerate": x}, {"degenerate": y}, ~everything, everything)
    regression = points.regression("degenerate")
    design = np.column_stack([np.ones(20), x])
    coefficients, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    at = np.array([1.0, 0.9985])
    line, half = regression.band(np.array([0.9985]))
    variance = residual[0] / 18 * at @ np.linalg.inv(design.T @ design) @ at
    assert line[0] == pytest.approx(coefficients @ at)
    assert half[0] == pytest.approx(stats.t.ppf(0.975, 18) * np.sqrt(variance), rel=1e-4)
    few = figureS3.Points({"degenerate": x}, {"degenerate": y}, ~everything, np.arange(20) < 2)
    assert few.regression("degenerate") is None


def test_presets_differ_in_numbers_only():
    assert {type(preset.fig3) for preset in PRESETS.values()} == {type(PRESETS["paper"].fig3)}
    paper = PRESETS["paper"]
    assert (paper.fig3.runs, paper.fig3.epochs, paper.fig3.depth, paper.fig3.width) == (50, 100, 20, 128)
    assert paper.figS3.width == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "huge"], "invalid choice: 'huge' .choose from"),
        (["--only", "fig9"], "figures must be of fig3, figS3; got 'fig9'"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
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


def test_smoke_preset_on_digits(tmp_path, monkeypatch, capsys):
    """The whole command where no data and no network are at hand; the second call finds every run."""
    monkeypatch.setattr("skip_paper.data._usual_places", list)
    monkeypatch.setattr("skip_paper.data._download", lambda name: (_ for _ in ()).throw(OSError("no network")))
    arguments = ["--preset", "smoke", "--results", str(tmp_path)]
    assert run_all.main(arguments) == 0
    for name in ("fig3", "figS3"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert json.loads((tmp_path / f"{name}.json").read_text())["data"] == "digits (scikit-learn), not CIFAR"
    numbers = json.loads((tmp_path / "fig3.json").read_text())["results"]["literal"]
    assert numbers["runs"] == {"plain": 2, "residual": 2, "hyper-residual": 2}
    assert len(numbers["quantities"]["degenerate"]["mean"]["plain"]) == 4
    capsys.readouterr()
    monkeypatch.setattr(run_all, "compute_run", lambda *_, **__: pytest.fail("repeated a finished run"))
    assert run_all.main(arguments) == 0
    assert "15 of 15 runs are finished already" in capsys.readouterr().out


def test_help_runs_from_any_folder(tmp_path):
    script = REPOSITORY / "examples" / "skip_paper" / "run_all.py"
    result = subprocess.run(
        [sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "--preset {smoke,laptop,paper}" in result.stdout
