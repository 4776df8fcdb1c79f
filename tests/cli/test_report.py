"""The page of results: whole, from every kind of file, and safe whatever names files have."""

import re

import matplotlib as mpl
import pytest
from samples import make_results

from hessdens import Spectrum, load_result
from hessdens.cli.pictures import DRAWN
from hessdens.cli.report import WORDS, density_of, names_of, page
from hessdens.results.summaries.html import as_html

mpl.use("Agg")
KINDS = ("density", "exact", "moments", "chebyshev", "comparison", "history")


def test_a_page_needs_no_other_file(run, saved):
    files = " ".join(f"{kind}.npz" for kind in KINDS)
    assert run(f"report {files} --out page.html") == (0, "page.html\n", "")
    html = (saved / "page.html").read_text()
    assert len(re.findall("src=", html)) == len(re.findall("src='data:image/png;base64,", html)) == 2
    assert "href=" not in html
    assert "<script" not in html
    assert re.findall("<h2>(.*?)</h2>", html) == list(KINDS)
    assert html.count("<table>") == html.count("</table>")


def test_numbers_are_those_of_the_results(saved):
    density = load_result(saved / "density.npz")
    html = page({"density": density}, 0.5)
    assert as_html(density.summary(0.5)) in html
    assert f"<td>{density.eigenvalues_found[-1]:.6g}</td>" in html
    moments = load_result(saved / "moments.npz")
    traces = page({"a": moments, "b": moments}, 0.2)
    assert traces.count(f"<td class=number>{moments.trace:.4g}</td>") == 2
    low, high = moments.size * moments.interval()[:, 0]
    assert traces.count(f"<td class=number>{low:.4g} to {high:.4g}</td>") == 2


RESULTS = {name.partition("-")[0]: result for name, result in make_results().items()}


@pytest.mark.parametrize("name", RESULTS)
def test_each_kind_that_has_a_picture_has_it_on_the_page(name):
    result = RESULTS[name]
    html = page({"<it>": result})
    is_drawn = isinstance(result, DRAWN) or density_of(result) is not None
    assert html.count("<img") == int(is_drawn)
    assert "<it>" not in html
    assert as_html(str(result)) in html


def test_words_of_hessians_are_explained_once():
    hessian, other = Spectrum([0.0, 1.0], "Hessian"), Spectrum([0.0, 2.0])
    assert page({"a": hessian, "b": hessian}).count(WORDS) == 1
    assert WORDS not in page({"a": hessian, "b": other})


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a'b\"c"])
def test_names_are_text(name):
    html = page({name: Spectrum([0.0, 1.0]), "other": Spectrum([1.0, 2.0])}, 0.2)
    assert "<script" not in html
    assert name not in html


def test_files_of_one_name_are_told_apart():
    assert names_of(["a/x.npz", "b/y.npz"]) == ["x", "y"]
    assert names_of(["a/x.npz", "b/x.npz"]) == ["a/x.npz", "b/x.npz"]
