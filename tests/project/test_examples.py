"""The worked examples, each run at small size."""

import ast
import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, settings
from skip_paper.data.images import load_digits
from torch import nn

from hessdens import exact_spectrum, hessian_operator

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "figures"
PROPERTY_TESTS = "examples/property_tests"


def run(name, folder):
    """Return the numbers of a small run; figure and JSON must lie side by side."""
    path = folder / f"{name}.png"
    numbers = importlib.import_module(name).main(["--small", "--output", str(path)])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert json.loads(path.with_suffix(".json").read_text()) == numbers
    assert numbers["command"] == f"python examples/{name}.py --small --output {path}"
    return numbers


def test_figures_of_the_gallery_have_captions():
    figures = sorted(FIGURES.glob("examples_*.png"))
    assert len(figures) >= 7
    for figure in figures:
        name = figure.stem.removeprefix("examples_")
        text = ast.get_docstring(ast.parse((ROOT / "examples" / f"{name}.py").read_text()))
        about, _, caption = text.partition("\n\nFigure: ")
        assert about
        assert len(caption.split()) > 20, f"examples/{name}.py says in its last paragraph what its figure shows"
        size = json.loads(figure.with_suffix(".json").read_text())["parameters"]
        numbers = re.findall(r"(\d[\d,]*) parameters", caption)
        assert numbers in ([], [f"{size:,}"])


def test_resnet(tmp_path, monkeypatch):
    module = importlib.import_module("resnet_cifar")
    monkeypatch.setattr(module, "load_images", lambda name: load_digits())
    numbers = run("resnet_cifar", tmp_path)
    assert "not CIFAR" in numbers["data"]
    low, high = numbers["degenerate_interval"]
    assert 0 <= low <= numbers["degenerate"] <= high <= 1
    assert numbers["products"] <= 24
    assert numbers["smallest"] < numbers["largest"][0]


def test_directions(tmp_path):
    records = run("directions", tmp_path)["records"]
    assert [row["step"] for row in records] == [0, 5, 10]
    for row in records:
        for share, low, high in row["shares"].values():
            assert 0 <= low <= share <= high <= 1
    assert "update" not in records[0]["shares"]
    assert records[1]["shares"]["class means"][0] > 0.1, "ten eigenvectors of 460 hold much of ten means"
    assert 0 < records[2]["shared"] <= 1


def test_block_structure(tmp_path):
    pytest.importorskip("transformers")
    numbers = run("block_structure", tmp_path)
    for name in ("GPT-2 shape", "residual network"):
        for share, (low, high) in zip(numbers[name]["share_outside"], numbers[name]["interval"], strict=True):
            assert 0 <= low <= share <= high <= 1
        assert len(numbers[name]["verdict"]) == 2


def test_gpt2(tmp_path):
    pytest.importorskip("transformers")
    differences = run("gpt2", tmp_path)["differences"]
    assert differences["tokens"] < 1e-5
    assert differences["paragraphs"] > 1e-3


def test_gpt2_without_transformers(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SystemExit, match="pip install transformers"):
        run("gpt2", tmp_path)


def test_text_is_padded_by_what_does_not_count():
    gpt2, text = (importlib.import_module(name) for name in ("gpt2", "text"))
    parts = text.paragraphs(6, 40)
    (batch,) = gpt2.make_batches(parts, 6)
    assert gpt2.num_tokens(batch) == sum(len(part) - 1 for part in parts)
    with pytest.raises(ValueError, match="count must be at most"):
        text.paragraphs(10**7, 40)


def test_pinn(tmp_path):
    numbers = run("pinn", tmp_path)
    assert numbers["trained"]["loss"] < numbers["start"]["loss"]
    assert numbers["start"]["negative"] > 0
    for when in ("start", "trained"):
        assert numbers[when]["gauss_newton_smallest"] > -1e-12 * numbers[when]["largest"]


def test_residual_of_the_solution_is_zero():
    pinn = importlib.import_module("pinn")

    class Solution(nn.Module):
        def forward(self, x):
            return pinn.solution(x[None]) if x.ndim == 1 else pinn.solution(x)[:, None]

    (residuals, boundary), targets = pinn.forward(Solution(), pinn.make_points(10, 16))
    assert targets is None
    assert residuals.abs().max() < 1e-12
    assert boundary.abs().max() < 1e-12
    assert len(boundary) == 16


def test_transformer_layers(tmp_path):
    numbers = run("transformer_layers", tmp_path)
    assert list(numbers["largest"])[2:5] == ["layers.0.query", "layers.0.key", "layers.0.value"]
    for layer, largest in numbers["largest"].items():
        assert 0 < numbers["root_mean_square"][layer] < largest


def test_transformer_does_not_see_the_future():
    module = importlib.import_module("transformer_layers")
    model = module.Transformer(8, 1, 2, 12)
    tokens = torch.arange(12)[None] + 60
    changed = tokens.clone()
    changed[0, 7] = 5
    same = (model(tokens) == model(changed))[0].all(dim=0)
    assert same[:7].all()
    assert not same[7:].any()


def test_learning_rates(tmp_path):
    numbers = run("learning_rates", tmp_path)
    for rate, summary in numbers["runs"].items():
        assert summary["threshold"] == 2 / float(rate)
        assert summary["second_half"][0] <= summary["second_half"][1] <= summary["second_half"][2]


def test_sharpness_is_the_largest_eigenvalue():
    module = importlib.import_module("learning_rates")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    H = hessian_operator(model, module.mean_squared_error, [(torch.randn(20, 4), torch.randn(20, 3))])
    value, vector = module.sharpness(H, np.ones(H.size, dtype=np.float32))
    assert value == pytest.approx(exact_spectrum(H).eigenvalues[-1], rel=1e-3)
    assert module.sharpness(H, vector)[0] == pytest.approx(value, rel=1e-3)


@pytest.fixture
def property_tests(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.config.rootpath / PROPERTY_TESTS))
    return importlib.import_module("test_matrix_free")


NAMES = (
    "test_trace_lies_within_its_standard_error",
    "test_all_steps_of_lanczos_give_eigenvalues",
    "test_few_steps_stay_within_the_spectrum",
    "test_trace_of_the_hessian_of_a_network",
)


@pytest.mark.parametrize("name", NAMES)
def test_property_tests_of_another_project(property_tests, name):
    getattr(property_tests, name)()


def biased(product, size, num_samples, rng):
    """Uniform entries have variance 1/3."""
    probes = rng.uniform(-1, 1, (num_samples, size))
    return np.array([z @ product(z) for z in probes])


def shifted(product, start, num_steps):
    """Return a matrix whose off-diagonal is not that of Lanczos."""
    diagonal, off_diagonal = importlib.import_module("matrix_free").tridiagonal(product, start, num_steps)
    return diagonal, 1.1 * off_diagonal


@pytest.mark.parametrize(
    ("name", "function", "broken"),
    [
        (NAMES[0], "trace_samples", biased),
        (NAMES[1], "tridiagonal", shifted),
        (NAMES[2], "tridiagonal", shifted),
    ],
)
def test_property_tests_find_a_bug(property_tests, monkeypatch, name, function, broken):
    monkeypatch.setattr(property_tests, function, broken)
    # Shrinking the failure takes half a minute, and is Hypothesis' business; two failures at once come as a group.
    test = settings(phases=[Phase.generate], database=None, deadline=None)(getattr(property_tests, name))
    with pytest.raises((AssertionError, ExceptionGroup), match=r"assert|standard errors|distinct failures"):
        test()
