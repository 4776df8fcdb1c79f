"""Each command: what it estimates, shows, draws and compares, and what it refuses."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from factories import matrix, problem
from matplotlib.image import imread

import hessdens
from hessdens import (
    Spectrum,
    compare,
    eigenpairs,
    ggn_operator,
    hessian_operator,
    lanczos_density,
    load_result,
    spectral_moments,
)
from hessdens.cli.errors import with_options
from hessdens.curvature import gradient_noise
from hessdens.densities import Comparison, KernelPolynomialDensity, LanczosDensity, MaximumEntropyDensity
from hessdens.eigenvectors import LossSlice
from hessdens.estimators import certified_counts
from hessdens.mixture.uncertainty import FitUncertainty
from hessdens.results import BlockNorms, CertifiedCounts, ClassStructure, Diagonal, LayerTraces, Moments
from hessdens.structure import (
    CurvatureHalves,
    LowRankSpectrum,
    block_norms,
    class_structure,
    curvature_halves,
    diagonal,
    layer_moments,
    layer_traces,
    output_gram,
)

EXACT = Spectrum(np.diagonal(matrix()))


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
def test_density_by_each_method_is_written_shown_drawn_and_compared(run, method, options, kind):
    status, out, err = run(f"density factories:problem --method {method} {options} --out r.npz")
    assert (status, err) == (0, "")
    result = load_result("r.npz")
    assert type(result) is kind
    text = with_options(str(result))
    assert out == f"{text}\n"
    assert run("show r.npz") == (0, f"{text}\n", "")
    assert run("plot r.npz --out r.png") == (0, "r.png\n", "")
    status, out, err = run("compare r.npz r.npz --json")
    assert (status, err) == (0, "")
    assert json.loads(out)["comparison"]["kolmogorov"] < 1e-9


def test_density_with_its_gradient(run):
    noise = gradient_noise(hessian_operator(*problem()))
    status, out, err = run("density factories:problem --products 20 --gradient")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == f"  {noise}"
    status, out, _ = run("density factories:problem --products 20 --gradient --json")
    assert json.loads(out)["results"][0]["gradient"] == asdict(noise)
    assert "gradient" not in run("density factories:problem --products 20 --json")[1]
    status, out, err = run("density factories:matrix --products 20 --gradient")
    assert (status, out) == (1, "")
    assert "H must be an operator of a model on one process" in err


def test_what_density_makes_can_be_drawn_and_compared(run):
    run("density factories:problem --method exact --out exact.npz")
    for method, options in (("mixture", "--products 80"), ("lanczos", "--products 30")):
        assert run(f"density factories:problem --method {method} {options} --out r.npz --force")[0] == 0
        status, _, err = run("plot r.npz --exact exact.npz --out r.png --force")
        assert (status, err) == (0, "")
        status, out, err = run("compare r.npz exact.npz")
        assert (status, err) == (0, "")
        density = getattr(load_result("r.npz"), "mixture", load_result("r.npz"))
        assert out == f"{compare(density, load_result('exact.npz'))}\n"


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


def test_density_to_an_accuracy(run):
    line = "density factories:matrix --rtol 0.1 --window 0.01 --seed 3 --out d.npz"
    status, _, err = run(line)
    assert (status, err) == (0, "")
    expected = lanczos_density(matrix(), rtol=0.1, window=0.01, seed=3)
    np.testing.assert_array_equal(load_result("d.npz").nodes(), expected.nodes())
    status, _, err = run("density factories:matrix --method exact --atol 0.1")
    assert (status, err) == (2, "hessdens: --atol is for --method lanczos; got --method exact.\n")


def test_certify(run):
    status, out, err = run("certify factories:matrix --products 40 --window 0.1 --level 0.9 --seed 3 --out c.npz")
    assert (status, err) == (0, "")
    result = load_result("c.npz")
    assert isinstance(result, CertifiedCounts)
    assert out == f"{result}\n"
    expected = certified_counts(matrix(), window=0.1, level=0.9, max_products=40, seed=3)
    assert result.summary() == expected.summary()
    status, out, _ = run("certify factories:matrix --json --checkpoint kept")
    (numbers,) = json.loads(out)["results"]
    assert (numbers["kind"], numbers["level"], numbers["window"], numbers["look"]) == ("CertifiedCounts", 0.99, 0.2, 1)
    assert run("certify factories:matrix --checkpoint kept --window 0.3")[0] == 0
    assert run("show c.npz")[1].startswith("Counts of ")


def test_eigenvectors(run):
    command = (
        "eigenvectors factories:problem -k 3 --which both --rtol 1e-4 --products 300 --block 3 --vectors 30 --seed 3"
    )
    status, out, err = run(f"{command} --out e.npz")
    assert (status, err) == (0, "")
    result = load_result("e.npz")
    assert out == f"{result}\n".replace("rtol", "--rtol")
    options = {"which": "both", "rtol": 1e-4, "block_size": 3, "num_vectors": 30, "seed": 3}
    expected = eigenpairs(hessian_operator(*problem()), 3, max_products=300, **options)
    np.testing.assert_array_equal(result.vectors, expected.vectors)
    status, out, _ = run("eigenvectors factories:matrix -k 1 --which 0.5 --json --checkpoint kept")
    (numbers,) = json.loads(out)["results"]
    assert (numbers["kind"], numbers["which"], len(numbers["pairs"])) == ("Eigenpairs", "near 0.5", 1)
    assert run("eigenvectors factories:matrix -k 1 --which 0.5 --checkpoint kept --rtol 0.001")[0] == 0
    assert run("show e.npz")[1].startswith("3 eigenvalues of ")


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


def test_show(run, saved):
    status, out, err = run("show density.npz")
    assert (status, out, err) == (0, f"{load_result('density.npz')}\n", "")
    status, out, _ = run("show exact.npz comparison.npz")
    assert (status, out) == (0, f"exact.npz:\n{EXACT}\n\ncomparison.npz:\n{load_result('comparison.npz')}\n")
    status, out, _ = run("show density.npz --window 0.02 --level 0.9")
    density = load_result("density.npz")
    assert out == f"{with_options(density.summary(0.02, 0.9))}\n"
    assert "  window: 0.02, that is |λ| < 0.01, " in out
    assert "intervals at 90%\n" in out


def test_show_says_where_another_window_has_wide_intervals(run, tmp_path):
    bulk = np.random.default_rng(0).normal(0, 0.05, 200)
    density = lanczos_density(np.diag(np.append(bulk, 30.0)), max_products=8)
    density.save(tmp_path / "r.npz")
    assert np.ptp(density.degenerate_interval(0.05)) > 0.1
    assert "  WIDE INTERVALS: 8 products do not resolve this window" in run("show r.npz --window 0.05")[1]
    assert "WIDE INTERVALS" not in run("show r.npz --window 50")[1]


def test_a_share_of_the_largest_is_a_window_of_every_command(run, saved):
    density = load_result("density.npz")
    size = 0.05 * density.nodes()[-1]
    assert run("show density.npz --window 5%")[1] == f"{with_options(density.summary(size))}\n"
    assert run("plot density.npz --window 5% --out one.png") == (0, "one.png\n", "")
    assert run("report density.npz --window 5% --out page.html") == (0, "page.html\n", "")
    assert run("plot history.npz --window 5% --out two.png") == (0, "two.png\n", "")


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
    assert results["chebyshev.npz"]["support"] == list(load_result("chebyshev.npz").support)


def test_text_from_a_file_cannot_steer_the_terminal(run, tmp_path):
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


@pytest.mark.parametrize(
    ("status", "line", "message"),
    [
        (
            2,
            "density factories:problem --method exact --probes 3",
            "--probes is for --method lanczos or .*; got --method exact",
        ),
        (
            2,
            "density factories:problem --low-memory --method mixture",
            "--low-memory is for --method lanczos; got --method mix",
        ),
        (2, "density factories:matrix --out exact.npz", "--out must be a new file; exact.npz exists. Give .* --force"),
        (
            2,
            "density factories:matrix --out no/r.npz",
            r"--out must be a file that can be written. The folder of no/\S+ does not exist. Make it first",
        ),
        (2, "moments factories:matrix --out .", "--out must be a file .* Only a file may be replaced; . is a folder"),
        (2, "moments factories:matrix --force --out /dev/null", "--out must be a file .* /dev/null is a device"),
        (2, f"moments factories:raises --out {'x' * 300}", "--out must be a file .* File name too long"),
        (2, "moments factories:raises --out a\0b", "--out must be a path, which is not empty and has no zero byte"),
        (2, "moments factories:raises --out /proc/new.npz", "--out must be a file that can be written"),
        (1, "certify factories:matrix --products 3", "--products must be at least 4; got 3"),
        (1, "certify factories:matrix --window 0", "window must be above 0: .* got 0"),
        (2, "certify factories:matrix --level 1", "--level must be a number between 0 and 1; got '1'"),
        (2, "certify factories:matrix --distribution rademacher", "unrecognized arguments: --distribution rademacher"),
        (1, "eigenvectors factories:matrix -k 5 --products 5", "--products must be at least 6 for k=5 eigenvalues"),
        (1, "eigenvectors factories:matrix -k 3 --vectors 6", r"--vectors must be at least k \+ 2 --block = 7; got 6"),
        (1, "eigenvectors factories:matrix -k 1000", "k must be at most the number of eigenvalues, .*; got 1,000"),
        (
            2,
            "eigenvectors factories:matrix --which LA",
            "--which must be one of largest, .*, or a finite number; got 'LA'",
        ),
        (2, "eigenvectors factories:matrix --which nan", "--which must be .* or a finite number; got 'nan'"),
        (2, "eigenvectors factories:matrix --rtol 1", "--rtol must be a number between 0 and 1; got '1'"),
        (2, "plot density.npz --out f.gif2", "--out must end in one of .*png.*; got 'f.gif2'"),
        (2, "plot density.npz --labels a b --out f.png", "--labels must be as many as files, 1; got 2"),
        (1, "show nowhere.npz", "nowhere.npz must be a file that can be read or written: No such file or directory"),
        (1, "show .", r"must be a whole .npz file .*; got \., which is a folder"),
        (1, "show cut.npz", "A saved result must be a whole .npz file without pickled objects; got cut.npz"),
        (
            2,
            "show density.npz --window -1",
            "--window must be .* or a percentage; got '-1'",
        ),
        (2, "show moments.npz --level 2", "--level must be a number between 0 and 1; got '2'"),
        (
            1,
            "plot moments.npz --out f.png",
            "moments.npz must hold a density, .*traces of layers, norms of blocks, halves or classes; it holds",
        ),
        (2, "plot density.npz --level 95 --out f.png", "--level must be a number between 0 and 1; got '95'"),
        (
            1,
            "plot density.npz --window 0 --out f.png",
            "window must be positive, since it sets the scale of the axis; got 0",
        ),
        (
            1,
            "plot density.npz --exact density.npz --out f.png",
            "density.npz must hold exact eigenvalues, from --method exact; it holds LanczosDensity",
        ),
        (1, "plot history.npz exact.npz --out f.png", "Histories must be drawn apart from densities, without --exact"),
        (
            1,
            "plot history.npz --exact exact.npz --out f.png",
            "Histories must be drawn apart from densities, without --exact",
        ),
        (2, "structure factories:problem --probes 4", "--probes is for --what blocks; got --what traces"),
        (
            2,
            "structure factories:problem --what halves --heads 2",
            "--heads is for --what traces or blocks; got --what ha",
        ),
        (
            2,
            "structure factories:problem --what gauss-newton --seed 1",
            "--seed is for --what traces or diagonal or bl",
        ),
        (2, "structure factories:problem --key-value-heads 2", "--key-value-heads needs --heads, those of queries"),
        (
            1,
            "structure factories:shared_keys --heads 4",
            "--key-value-heads must be that of the model, .*; got 4 for 'attn.k_proj.weight'",
        ),
        (1, "structure factories:problem --heads 2", "attention_parts needs parameters with the names of GPT-2"),
        (
            1,
            "structure factories:problem --what gauss-newton --max-rows 3",
            "may have --max-rows=3 rows at most; these",
        ),
        (1, "structure factories:matrix", "parts=None needs an operator that knows its parameters"),
        (1, "structure factories:matrix --what gauss-newton", "--curvature is for a model; factories:matrix returned"),
        (
            1,
            "compare history.npz exact.npz",
            "history.npz must hold a density or moments; it holds SpectrumHistory",
        ),
        (
            1,
            "compare density.npz moments.npz",
            "moments.npz must hold a density, usually exact eigenvalues; it holds Moments",
        ),
        (
            1,
            "compare comparison.npz exact.npz",
            "comparison.npz must hold a density or moments; it holds Comparison",
        ),
    ],
)
def test_errors_are_one_line(assert_refused, status, line, message):
    assert_refused(status, line, message)


def test_window_of_a_density(run):
    status, out, _ = run("density factories:problem --products 30 --window 0.5 --level 0.9 --out r.npz")
    assert status == 0
    result = load_result("r.npz")
    assert result.window == 0.5
    assert out == f"{with_options(result.summary(level=0.9))}\n"
    found = json.loads(run("density factories:problem --products 30 --window 0.5 --json")[1])["results"][0]
    assert found["fractions"]["window"] == 0.5
    assert [pair["value"] for pair in found["eigenvalues"]] == pytest.approx(result.eigenvalues_found, rel=1e-4)
    assert {pair["error"] >= 0 for pair in found["eigenvalues"]} == {True}


def test_moments_of_layers_are_those_of_the_library_in_a_file_each(run):
    status, out, err = run("moments factories:problem --layers --moments 1 --probes 8 --out layers.npz")
    assert (status, err) == (0, "")
    expected = layer_moments(hessian_operator(*problem()), 1, num_probes=8)
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(expected)
    for name, moments in expected.items():
        np.testing.assert_allclose(load_result(f"layers.{name}.npz").values, moments.values, rtol=1e-4)
    found = json.loads(run("moments factories:problem --layers --moments 1 --probes 8 --json")[1])["results"]
    assert [(entry["layer"], entry["size"]) for entry in found] == [(n, m.size) for n, m in expected.items()]


@pytest.mark.parametrize("command", ["moments factories:problem --layers", "structure factories:problem --what halves"])
def test_several_runs_share_a_folder_of_work(run, command):
    first, second = (run(f"{command} --products 20 --checkpoint work --json") for _ in range(2))
    assert first[0] == second[0] == 0
    results = [json.loads(out)["results"] for _, out, _ in (first, second)]
    assert [r["outliers"] if "outliers" in r else r["moments"] for r in results[0]] == [
        r["outliers"] if "outliers" in r else r["moments"] for r in results[1]
    ]
    assert "work holds" in second[2]


def test_a_folder_of_work_says_its_size_and_what_it_is_for(run):
    status, _, err = run("density factories:problem --products 20 --checkpoint work")
    assert status == 0
    assert re.fullmatch(r"hessdens: work holds \d.* of finished work\. The same .*; delete the folder if .*\n", err)


def test_histories_are_drawn_together(run, saved):
    (saved / "other.npz").write_bytes((saved / "history.npz").read_bytes())
    assert run("plot history.npz other.npz --labels SGD SAM --out runs.png") == (0, "runs.png\n", "")
    assert imread("runs.png").shape == (1200, 1050, 4)


def test_comparison_names_its_files_where_none_is_exact(run, saved):
    out = run("compare density.npz density.npz")[1]
    assert out.splitlines()[0].split() == ["density", "density", "relative", "difference"]
    assert run("compare density.npz exact.npz")[1].splitlines()[0].split() == ["estimate", "exact", "relative", "error"]


@pytest.mark.parametrize(
    ("options", "kind", "expected"),
    [
        ("--products 20", LayerTraces, lambda H, G: layer_traces(H, max_products=20)),
        ("--rtol 0.2 --atol 2", LayerTraces, lambda H, G: layer_traces(H, rtol=0.2, atol=2.0)),
        ("--what diagonal --products 12 --seed 3", Diagonal, lambda H, G: diagonal(H, max_products=12, seed=3)),
        ("--what blocks --probes 3", BlockNorms, lambda H, G: block_norms(H, num_probes=3)),
        ("--what halves --products 40", CurvatureHalves, lambda H, G: curvature_halves(H, G, max_products=40)),
        ("--what gauss-newton", LowRankSpectrum, lambda H, G: output_gram(G).spectrum()),
        ("--what classes", ClassStructure, lambda H, G: class_structure(output_gram(G))),
    ],
)
def test_structure_is_that_of_the_library(run, options, kind, expected):
    status, out, err = run(f"structure factories:problem {options} --out s.npz")
    assert (status, err) == (0, "")
    result, numbers = load_result("s.npz"), expected(hessian_operator(*problem()), ggn_operator(*problem())).numbers()
    assert type(result) is kind
    assert out == f"{with_options(str(result))}\n"
    for name in ("layers", "trace", "squared_norms", "moments", "shares"):
        if name in numbers:
            np.testing.assert_allclose(_flat(result.numbers()[name]), _flat(numbers[name]), rtol=1e-3, atol=1e-5)
    assert json.loads(run(f"structure factories:problem {options} --json")[1])["results"][0]["kind"] == kind.__name__


@pytest.mark.parametrize("what", ["traces --products 4", "blocks --probes 2"])
def test_heads_may_share_keys(run, what):
    line = f"structure factories:shared_keys --heads 4 --key-value-heads 2 --json --what {what}"
    (result,) = json.loads(run(line)[1])["results"]
    rows = result["layers"] if "layers" in result else [{"name": name} for name in result["names"]]
    heads = [f"attn head {i}" for i in range(4)] + [f"attn key-value head {i}" for i in range(2)]
    assert [row["name"] for row in rows] == heads


def _flat(value):
    """Return all numbers in lists and dictionaries."""
    if isinstance(value, dict | list):
        return [number for part in (value.values() if isinstance(value, dict) else value) for number in _flat(part)]
    return [value] if isinstance(value, int | float) else []


def test_losses_along_directions_are_drawn(run, saved):
    LossSlice([-1, 0, 1], [[2.0], [1.0], [2.0]], 1.0, [0.0], [[2.0]], [1.0], 0.0).save(saved / "line.npz")
    LossSlice([-1, 1], np.array([[2.0, 1.0], [1.0, 3.0]]), 1.0, [0, 0], np.eye(2), [1, 1], 0.0).save(saved / "map.npz")
    assert run("plot line.npz line.npz --labels one two --out lines.png") == (0, "lines.png\n", "")
    assert run("plot map.npz --out map.png") == (0, "map.png\n", "")
    for command in ("line.npz map.npz", "map.npz map.npz", "line.npz density.npz", "line.npz --exact exact.npz"):
        status, _, err = run(f"plot {command} --out bad.png")
        assert (status, err) == (
            1,
            "hessdens: Losses must be drawn apart from densities, without --exact, and a map of them alone.\n",
        )
