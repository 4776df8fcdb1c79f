"""The command line: every command, every error, and the exit status, in this process; a sample through the shell."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import problem
from matplotlib.image import imread

import hessdens
from hessdens import Spectrum, compare, hessian_operator, lanczos_density, load_result, spectral_moments
from hessdens.cli import main
from hessdens.cli.errors import OPTIONS
from hessdens.cli.options import parser
from hessdens.curvature import CurvatureOperator
from hessdens.densities import Comparison, KernelPolynomialDensity, LanczosDensity, MaximumEntropyDensity
from hessdens.estimators import chebyshev_moments
from hessdens.mixture.uncertainty import FitUncertainty
from hessdens.monitor import SpectrumHistory
from hessdens.monitor.history import SpectrumRecord
from hessdens.results import Moments

HERE = Path(__file__).resolve().parents[1]
EXACT = Spectrum(np.concatenate([np.random.default_rng(0).normal(0, 0.01, 40), [3.0, 2.0, -1.0]]))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command in a folder of its own: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def command(line):
        status = main(line.split())
        return status, *capsys.readouterr()

    return command


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """A folder with a result of each kind that commands treat differently."""
    folder, matrix = tmp_path_factory.mktemp("kinds"), np.diag(EXACT.eigenvalues)
    EXACT.save(folder / "exact.npz")
    lanczos_density(matrix, max_products=30).save(folder / "density.npz")
    moments = spectral_moments(matrix, max_products=40)
    moments.save(folder / "moments.npz")
    chebyshev_moments(matrix, 8).save(folder / "chebyshev.npz")
    compare(moments, EXACT).save(folder / "comparison.npz")
    density = load_result(folder / "density.npz")
    records = (SpectrumRecord(step, 1.0, density, "", 1.0, 0.1) for step in (0, 5))
    SpectrumHistory({"size": EXACT.size}, tuple(records)).save(folder / "history.npz")
    (folder / "cut.npz").write_bytes((folder / "exact.npz").read_bytes()[:200])
    return folder


@pytest.fixture
def saved(kinds, tmp_path):
    """Return a copy of that folder, the one in which commands run."""
    shutil.copytree(kinds, tmp_path, dirs_exist_ok=True)
    return tmp_path


# Densities and moments of a factory.


@pytest.mark.parametrize(
    ("method", "options", "kind"),
    [
        ("lanczos", "--products 30 --low-memory", LanczosDensity),
        ("lanczos", "--probes 3 --steps 5 --seed 2 --distribution rademacher", LanczosDensity),
        ("kernel-polynomial", "--moments 8", KernelPolynomialDensity),
        ("maximum-entropy", "--moments 8 --probes 4", MaximumEntropyDensity),
        ("mixture", "--products 80", FitUncertainty),
        ("exact", "--max-size 100", Spectrum),
    ],
)
def test_density_by_each_method(run, method, options, kind):
    status, out, err = run(f"density factories:problem --method {method} {options} --out r.npz")
    assert (status, err) == (0, "")
    result = load_result("r.npz")
    assert type(result) is kind
    assert out == f"{result}\n"


def test_density_is_that_of_the_library(run):
    assert run("density factories:problem --products 30 --seed 3 --out r.npz")[0] == 0
    expected = lanczos_density(hessian_operator(*problem()), max_products=30, seed=3)
    np.testing.assert_array_equal(load_result("r.npz").nodes(), expected.nodes())


@pytest.mark.parametrize("method", ["deflated", "skilling"])
def test_moments(run, method):
    status, out, err = run(f"moments factories:problem --method {method} --products 40 --moments 3 --out m.npz")
    assert (status, err) == (0, "")
    moments = load_result("m.npz")
    assert isinstance(moments, Moments)
    assert len(moments.values) == 3
    assert out == f"{moments}\n"
    expected = spectral_moments(hessian_operator(*problem()), 3, method=method, max_products=40)
    np.testing.assert_array_equal(moments.values, expected.values)


def test_factories_of_other_kinds(run):
    path = HERE / "factories.py"
    values = {}
    for factory in ("factories:problem", f"{path}:problem", "factories:loader", "factories:dictionaries"):
        for more in ("", " --dtype float64 --device cpu"):
            status, out, _ = run(f"moments {factory} --products 20 --method skilling --json{more}")
            assert status == 0
            values[factory, more] = [row["value"] for row in json.loads(out)["results"][0]["moments"]]
    reference = values["factories:problem", ""]
    for found in values.values():
        np.testing.assert_allclose(found, reference, rtol=1e-4)
    double = values["factories:problem", " --dtype float64 --device cpu"]
    model, loss_fn, data = problem()
    H = hessian_operator(model.double(), loss_fn, [(inputs.double(), targets) for inputs, targets in data])
    np.testing.assert_allclose(double, spectral_moments(H, method="skilling", max_products=20).values, rtol=1e-12)
    assert run("moments factories:operator --products 20 --method skilling --json")[0] == 0
    assert "43 eigenvalues" in run("density factories:matrix --method exact")[1]


def test_curvature_and_parameters(run):
    sizes = {}
    for options in ("", "--curvature ggn", "--curvature fisher", "--parameters 0.* --curvature ggn"):
        status, out, _ = run(f"density factories:problem --method exact --json {options}")
        assert status == 0
        result = json.loads(out)["results"][0]
        sizes[options] = result["size"]
        assert (result["lowest"] < -1e-5) == (options == "")  # only the Hessian is indefinite
    assert list(sizes.values()) == [43, 43, 43, 25]


def test_checkpoints_are_found_again(run):
    line = "density factories:matrix --products 40 --checkpoint work --out"
    first = run(f"{line} a.npz")
    blocks = sorted(Path("work").iterdir())
    again = run(f"{line} b.npz")
    assert sorted(Path("work").iterdir()) == blocks
    assert first[0] == again[0] == 0
    np.testing.assert_array_equal(load_result("a.npz").nodes(), load_result("b.npz").nodes())
    status, out, err = run("density factories:matrix --products 40 --seed 9 --checkpoint work")
    assert (status, out) == (1, "")
    assert re.fullmatch(r"hessdens: checkpoint must be of the same run; .* seed is 0 there and 9 here.*\n", err)


def test_progress_is_shown_on_a_terminal_only(run, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for option, expected in (("", True), (" --quiet", False)):
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        assert run(f"density factories:matrix --products 30{option}")[0] == 0
        assert ("product/s" in screen.getvalue()) == expected


def test_json_has_numbers_and_the_result_is_there(run):
    status, out, err = run("density factories:matrix --products 30 --json --out r.npz")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert {key: found[key] for key in ("schema", "hessdens", "command")} == {
        "schema": 1,
        "hessdens": hessdens.__version__,
        "command": "density",
    }
    (result,) = found["results"]
    assert result["file"] == "r.npz"
    density = load_result("r.npz")
    assert result["fractions"]["degenerate"]["value"] == density.fraction_degenerate()
    assert [result["fractions"]["negative"][end] for end in ("low", "high")] == density.negative_interval().tolist()
    assert [row["value"] for row in result["moments"]] == density.moments(4).tolist()
    assert result["warnings"] == []


def test_warnings_of_the_library_and_of_factories_are_lines(run):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        status, out, err = run("density factories:warned --method exact")
    assert (status, err) == (0, "hessdens: warning: the data are old\n")
    assert out.startswith("Spectrum of 43 eigenvalues")


# Result files.


def test_show(run, saved):
    status, out, err = run("show density.npz")
    assert (status, out, err) == (0, f"{load_result('density.npz')}\n", "")
    status, out, _ = run("show exact.npz comparison.npz")
    assert (status, out) == (0, f"exact.npz:\n{EXACT}\n\ncomparison.npz:\n{load_result('comparison.npz')}\n")
    status, out, _ = run("show density.npz --window 0.02 --level 0.9")
    density = load_result("density.npz")
    assert f"{100 * density.fraction_degenerate(0.02):.2f}%" in out.splitlines()[-2]
    assert out.splitlines()[-2].endswith("(window 0.02, 90% intervals)")
    assert out.splitlines()[-1] == "  WIDE INTERVALS: take more products (max_products=)."


def test_show_says_where_another_window_has_wide_intervals(run, tmp_path):
    bulk = np.random.default_rng(0).normal(0, 0.05, 200)
    density = lanczos_density(np.diag(np.append(bulk, 30.0)), max_products=8)
    density.save(tmp_path / "r.npz")
    assert np.ptp(density.degenerate_interval(0.05)) > 0.1
    lines = run("show r.npz --window 0.05")[1].splitlines()
    assert lines[-2].endswith("(window 0.05, 95% intervals)")
    assert lines[-1] == "  WIDE INTERVALS: take more products (max_products=)."
    assert run("show r.npz --window 50")[1].splitlines()[-1].endswith("(window 50, 95% intervals)")


def test_show_as_json(run, saved):
    names = sorted(path.name for path in saved.iterdir() if path.name != "cut.npz")
    status, out, _ = run(f"show --json {' '.join(names)} --window 0.5")
    assert status == 0
    results = {result["file"]: result for result in json.loads(out)["results"]}
    assert list(results) == names
    assert {name: result["kind"] for name, result in results.items()} == {
        name: type(load_result(name)).__name__ for name in names
    }
    assert results["exact.npz"]["fractions"]["degenerate"] == {"value": EXACT.fraction_degenerate(0.5)}
    assert results["exact.npz"]["highest"] == 3.0
    assert results["comparison.npz"]["degenerate"] == {"value": None, "exact": EXACT.fraction_degenerate()}
    assert results["chebyshev.npz"]["interval"] == list(load_result("chebyshev.npz").interval)


def test_text_from_a_file_cannot_steer_the_terminal(run, tmp_path):
    from dataclasses import replace

    density = lanczos_density(np.diag(EXACT.eigenvalues), max_products=30)
    evil = replace(density, certificates=replace(density.certificates, versions="\x1b[2Jhessdens"))
    evil.save(tmp_path / "r.npz")
    status, out, _ = run("show r.npz")
    assert status == 0
    assert "?[2Jhessdens" in out
    assert "\x1b" not in out


def test_plot(run, saved):
    status, out, err = run("plot density.npz --out f.png")
    assert (status, out, err) == (0, "f.png\n", "")
    assert Path("f.png").read_bytes().startswith(b"\x89PNG")
    status, out, _ = run("plot density.npz exact.npz --labels now then --exact exact.npz --out f.svg --json --dpi 50")
    assert status == 0
    assert json.loads(out)["out"] == "f.svg"
    assert "<svg" in Path("f.svg").read_text()
    assert run("plot density.npz --out f.png --force")[0] == 0
    assert run("plot history.npz --out h.png")[:2] == (0, "h.png\n")
    assert imread("h.png").shape == (1200, 1050, 4)
    assert not [path for path in saved.iterdir() if ".tmp" in path.name]


def test_compare(run, saved):
    status, out, err = run("compare density.npz exact.npz --window 0.1 --moments 3")
    expected = compare(load_result("density.npz"), EXACT, window=0.1, num_moments=3)
    assert (status, out, err) == (0, f"{expected}\n", "")
    status, out, _ = run("compare moments.npz exact.npz --json")
    assert status == 0
    rows = json.loads(out)["comparison"]["moments"]
    assert [row["z_score"] for row in rows] == compare(load_result("moments.npz"), EXACT).z_scores.tolist()
    Spectrum([1.0, 2.0]).save("other.npz")
    status, out, err = run("compare density.npz other.npz")
    assert status == 0
    assert err == "hessdens: warning: density.npz has 43 eigenvalues, other.npz 2.\n"
    assert isinstance(load_result("comparison.npz"), Comparison)


# Errors: a line, a status, no traceback.

USAGE = [
    ("", "the following arguments are required: COMMAND"),
    ("dense", "invalid choice: 'dense'"),
    ("density", "the following arguments are required: FACTORY"),
    ("density factories:problem --prod 3", "unrecognized arguments: --prod 3"),
    ("density factories:problem --probes x", "argument --probes: invalid int value: 'x'"),
    (
        "density factories:problem --method exact --probes 3",
        "--probes is for --method lanczos or .*; got --method exact",
    ),
    (
        "density factories:problem --low-memory --method mixture",
        "--low-memory is for --method lanczos; got --method mix",
    ),
    ("density factories", "FACTORY must be package.module:function or path/to/file.py:function; got 'factories'"),
    ("density a/b:c", "FACTORY must name a module before the colon, such as package.module; got 'a/b'"),
    ("density factories:matrix --out exact.npz", "--out must be a new file; exact.npz exists. Give .* --force"),
    ("density factories:matrix --out no/r.npz", "--out must be in a folder that exists; there is no no. Make it first"),
    ("moments factories:matrix --out .", "--out must be a file; . is a folder"),
    ("show", "the following arguments are required: FILE"),
    ("plot density.npz", "the following arguments are required: --out"),
    ("plot density.npz --out f.gif2", "--out must end in one of .*png.*; got 'f.gif2'"),
    ("plot density.npz --labels a b --out f.png", "--labels must be as many as files, 1; got 2"),
    ("compare density.npz", "the following arguments are required: REFERENCE"),
]
FAILURES = [
    ("density nowhere.train:problem", "FACTORY must name a module that can be imported; there is no 'nowhere' in .*"),
    ("density no.py:problem", "FACTORY must name a file that exists; there is no no.py"),
    ("density factories:problen", "factories must have a function 'problen'; it has none. Did you mean 'problem'"),
    ("density factories:SETTING", "factories:SETTING must be a function; got int"),
    (
        "density factories:with_arguments",
        "factories:with_arguments must be callable without arguments; it has a missing",
    ),
    ("density factories:nothing", r"factories:nothing must return \(model, loss_fn, data\), .*; got None. Does it end"),
    ("density factories:two", r"factories:two must return .*; got \(Sequential, CrossEntropyLoss\)"),
    ("density factories:not_a_model", r"factories:not_a_model must return .*; got \(str, CrossEntropyLoss, list\)"),
    ("density factories:list_in_fourth_place", "must return keyword arguments as a dictionary in fourth place; got"),
    (
        "density factories:misspelt_keyword",
        "keyword arguments of hessian_operator; got 'foward'. Did you mean 'forward'",
    ),
    ("density factories:text", "factories:text must return .*; got str: A must be an operator"),
    ("density factories:lopsided", "An operator must be symmetric; got x·Ay and y·Ax that differ"),
    ("density factories:matrix --curvature ggn", "--curvature is for a model; factories:matrix returned ndarray"),
    ("density factories:matrix --parameters a", "--parameters is for a model; factories:matrix returned ndarray"),
    ("density factories:operator --dtype float64", "An operator keeps its dtype and device; got dtype=torch.float64"),
    ("density factories:problem --parameters 9.weight", "parameters must name parameters of the model; '9.weight'"),
    ("density factories:problem --device abacus", "--device must be a device that this machine has; got 'abacus'"),
    ("density factories:used_up --dtype float64", "data must be .*"),
    ("density factories:random_model", "The loss must not be random; Dropout '1' is in training mode. Call model.eval"),
    ("density factories:problem --probes 1", "--probes must be at least 2; got 1"),
    ("density factories:problem --products 1", "--products must be at least 4 for 2 steps of 2 probes; got 1"),
    ("density factories:problem --method exact --max-size 9", "exact_spectrum takes operators of size --max-size=9 at"),
    ("moments factories:problem --rtol 2", "--rtol must lie between 0 and 1; got 2"),
    ("moments factories:problem --moments 0", "--moments must be at least 1; got 0"),
    ("moments factories:problem --seed -1", "seed must be .*; got -1"),
    ("show nowhere.npz", "nowhere.npz must be a file that can be read or written: No such file or directory"),
    ("show .", r"\. must be a file that can be read or written: Is a directory"),
    ("show cut.npz", "A saved result must be a whole .npz file without pickled objects; got cut.npz"),
    ("show density.npz --window -1", "window must be finite and at least 0; got -1"),
    ("show moments.npz --level 2", "level must .*; got 2"),
    (
        "plot moments.npz --out f.png",
        r"moments.npz must be a density .*; got Moments. Moments are no density: pass fit_m",
    ),
    ("plot density.npz --level 95 --out f.png", "level must lie between 0 and 1; got 95"),
    ("plot density.npz --window 0 --out f.png", "window must be positive, since it sets the scale of the axis; got 0"),
    (
        "plot density.npz --exact density.npz --out f.png",
        "--exact must be a file with a Spectrum, .* holds LanczosDensity",
    ),
    ("plot history.npz exact.npz --out f.png", "A history must be the only file, without --labels and --exact"),
    ("plot history.npz --labels a --out f.png", "A history must be the only file, without --labels and --exact"),
    ("compare history.npz exact.npz", "history.npz holds no estimate that can be compared: estimate must be a dens"),
    ("compare density.npz moments.npz", "moments.npz must be a density .*; got Moments"),
    (
        "compare comparison.npz exact.npz",
        "comparison.npz holds no estimate that can be compared: estimate must be a dens",
    ),
    ("validate --device abacus", "--device must be a device that this machine has; got 'abacus'"),
]


@pytest.mark.parametrize(
    ("status", "line", "message"),
    [*((2, *case) for case in USAGE), *((1, *case) for case in FAILURES)],
)
def test_errors_are_one_line(run, saved, status, line, message):
    before = sorted(saved.iterdir())
    found, out, err = run(line)
    assert (found, out) == (status, "")
    assert re.match(rf"hessdens: .*{message}", err), err
    assert err.count("\n") == 1
    assert sorted(saved.iterdir()) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(run):
    status, _, err = run("density factories:problem --device cuda")
    assert status == 1
    assert re.match(r"hessdens: --device must be a device that this machine has; got 'cuda': .*\n$", err)


def test_errors_of_the_users_code_show_where(run):
    status, out, err = run("density factories:raises")
    assert (status, out) == (1, "")
    first, *_, error, last = err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert 'return {}["missing"]' in err
    assert (error, last) == ("KeyError: 'missing'", "hessdens: the work failed with the KeyError above.")
    assert f"hessdens{os.sep}cli" not in err
    status, _, err = run("density factories:without_weights")
    assert status == 1
    assert 'torch.load("weights_that_are_not_there.pt")' in err
    assert err.endswith("hessdens: the work failed with the FileNotFoundError above.\n")
    status, _, err = run("density factories:fails_in_the_model")
    assert status == 1
    assert 'raise RuntimeError("no such layer")' in err
    assert err.endswith("hessdens: the work failed with the RuntimeError above.\n")


def test_errors_while_the_users_module_is_imported_show_where(run, tmp_path):
    (tmp_path / "broken.py").write_text("import torch\nimport not_there_at_all\n")
    for place in ("broken:problem", "broken.py:problem"):
        status, _, err = run(f"density {place}")
        assert status == 1
        assert "import not_there_at_all" in err
        assert err.endswith("hessdens: the work failed with the ModuleNotFoundError above.\n")


def test_interrupted(run):
    status, out, err = run("density factories:interrupted")
    assert (status, out, err) == (130, "", "hessdens: interrupted. Nothing was written.\n")
    _, _, err = run("density factories:interrupted --checkpoint work")
    assert err == "hessdens: interrupted. Finished work is in work: the same command goes on from there.\n"


# Help and version.


@pytest.mark.parametrize("command", ["", "density", "moments", "show", "plot", "compare", "validate"])
def test_help(run, command):
    status, out, err = run(f"{command} --help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: hessdens {command}".rstrip())
    assert "Exit status: 0 done" in out
    assert max(len(line) for line in out.splitlines()) <= 120


def test_version(run):
    assert run("--version") == (0, f"hessdens {hessdens.__version__}\n", "")


def test_options_that_messages_name_exist():
    helps = [main_help(command) for command in ("density", "moments")]
    for argument, option in OPTIONS.items():
        found = [text for text in helps if re.search(rf"^  {option}\b", text, re.MULTILINE)]
        assert found, argument


def main_help(command):
    actions = parser()._subparsers._group_actions[0].choices
    return actions[command].format_help()


# The self-test.


def test_validate(run):
    status, out, err = run("validate --json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["passed"] is True
    checked = [check for check in found["checks"] if check["limit"] is not None]
    assert len(checked) >= 15
    assert all(check["passed"] and check["value"] <= check["limit"] for check in checked)
    assert [check["unit"] for check in found["checks"] if check["limit"] is None] == ["ms", "gradients"]


def test_validate_fails_where_products_are_wrong(run, monkeypatch):
    from hessdens.cli import self_test

    monkeypatch.setattr(self_test, "CHECKS", (self_test.exact_eigenvalues, self_test.files))
    right = CurvatureOperator._matmat
    monkeypatch.setattr(CurvatureOperator, "_matmat", lambda self, V: right(self, V) * (1 + 1e-9))
    status, out, err = run("validate")
    assert status == 1
    assert re.match(r"FAIL eigenvalues of linear regression: 1e-09 relative error \(at most 1e-12\)\nok   files", out)
    assert err == "hessdens: a check failed: results on this machine and device are not to be trusted.\n"
    monkeypatch.setattr(CurvatureOperator, "_matmat", lambda self, V: V.nonsense)
    status, out, err = run("validate --json")
    assert status == 1
    assert json.loads(out)["checks"][0] == {
        "name": "exact eigenvalues",
        "value": None,
        "limit": 0.0,
        "unit": "(it raised the error above)",
        "passed": False,
    }
    assert "AttributeError" in err


# Through the shell.


def shell(*line, cwd, **settings):
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"}
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, env=environment, **settings)


def test_through_the_shell(saved):
    module = (sys.executable, "-m", "hessdens")
    done = shell(*module, "density", "factories:matrix", "--products", "30", "--out", "r.npz", cwd=saved)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{load_result(saved / 'r.npz')}\n"
    failed = shell(*module, "show", "nowhere.npz", cwd=saved)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("hessdens: nowhere.npz must be a file")
    wrong = shell(*module, "show", cwd=saved)
    assert wrong.returncode == 2
    assert wrong.stderr == "hessdens: the following arguments are required: FILE. See hessdens show --help.\n"


def test_installed_entry_point(saved):
    command = Path(sys.executable).with_name("hessdens")
    if not command.exists():
        pytest.skip("hessdens is not installed beside this Python; pip install -e . does it")
    done = shell(str(command), "--version", cwd=saved)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"hessdens {hessdens.__version__}\n", "")


@pytest.mark.skipif(os.name == "nt", reason="pipes and signals are those of POSIX")
def test_a_reader_that_goes_and_a_user_who_interrupts(saved):
    show = f"{sys.executable} -m hessdens show {' '.join(['density.npz'] * 500)}"
    done = shell("bash", "-c", f"set -o pipefail; {show} | head -n 1", cwd=saved)
    assert done.stdout == "density.npz:\n"
    assert (done.returncode, done.stderr) == (1, "")
    (saved / "slow.py").write_text(
        "import pathlib, time\ndef wait():\n pathlib.Path('begun').touch()\n time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hessdens", "density", "slow.py:wait"],
        cwd=saved,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        stderr=subprocess.PIPE,
        text=True,
        # A shell in the background has its children ignore interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (saved / "begun").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "hessdens: interrupted. Nothing was written.\n")
