"""Summaries in notebooks: rows for what is named, and nothing of a file is taken for HTML."""

from hessdens import Spectrum
from hessdens.results import Moments
from hessdens.results.summaries.html import as_html


def test_names_and_values_are_rows():
    html = as_html("Title of <it>\n  first: 1\n  second: a: b")
    assert "<b>Title of &lt;it&gt;</b>" in html
    assert html.count("<tr>") == 2
    assert ">second</th>" in html
    assert ">a: b</td>" in html


def test_tables_stay_as_they_are():
    assert as_html("a b\n1 < 2") == "<pre>a b\n1 &lt; 2</pre>"


def test_results_have_it_and_a_short_repr():
    spectrum = Spectrum(range(1000))
    assert "<b>Spectrum of 1,000 eigenvalues from 0 to 999</b>" in spectrum._repr_html_()
    assert repr(spectrum) == "<Spectrum: Spectrum of 1,000 eigenvalues from 0 to 999>"
    moments = Moments.from_samples([[0.9], [1.1]], size=100, num_products=3)
    assert repr(moments) == "<Moments: Moments of 100 eigenvalues from 2 probes, 3 products>"
