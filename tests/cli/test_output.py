"""What commands share: output that is safe to print, and the same for text and JSON."""

import argparse
import json

import matplotlib as mpl
import numpy as np
import pytest
from samples import MATRIX, make_results

from hessdens import Spectrum, fit_mixture
from hessdens.cli import main
from hessdens.cli.errors import CommandError
from hessdens.cli.output import loaded, print_json, printable, summary

mpl.use("Agg")
RESULTS = make_results()


def test_text_of_a_file_cannot_move_the_cursor():
    assert printable("a\x1b[2Jb\nc\r") == "a?[2Jb\nc?"


def test_json_has_a_head(capsys):
    print_json(argparse.Namespace(json=True, command="show"), results=[])
    assert json.loads(capsys.readouterr().out).keys() == {"schema", "hessdens", "command", "results"}
    print_json(argparse.Namespace(json=False, command="show"), results=[])
    assert capsys.readouterr().out == ""


def test_summaries_are_of_the_window_that_was_asked_for():
    spectrum, fit = Spectrum([0.0, 0.05, 1.0]), fit_mixture([0.1, 0.02, 0.01, 0.005])
    assert summary(spectrum, None, 0.95) == str(spectrum)
    assert "  degenerate: 33.33%, 1 of 3\n  negative: 0.00%, 0 of 3\n  window: 0.02, " in summary(spectrum, 0.02, 0.95)
    assert summary(fit, None, 0.95) == str(fit)
    assert summary(fit, 0.02, 0.95).endswith("% negative (window 0.02, 95% intervals)")


def test_files_of_other_kinds_are_refused(tmp_path):
    Spectrum([1.0]).save(tmp_path / "s.npz")
    with pytest.raises(
        CommandError, match=r"s\.npz must hold numbers; it holds Spectrum\. `hessdens show .*s\.npz` prints it\."
    ):
        loaded(str(tmp_path / "s.npz"), int, what="numbers")
    for result, advice in (
        (RESULTS["Moments-1"], "--method mixture` makes a density"),
        (RESULTS["ChebyshevMoments-2"], "maximum_entropy in Python"),
    ):
        result.save(tmp_path / "m.npz")
        with pytest.raises(CommandError, match=advice):
            loaded(str(tmp_path / "m.npz"), Spectrum, what="a density")


# Of these there is a picture, and of no others.
DENSITIES = {
    "FitUncertainty", "KernelPolynomialDensity", "LanczosDensity", "LowRankSpectrum", "MaximumEntropyDensity",
    "MixtureFit", "SkewNormalMixture", "Spectrum",
}  # fmt: skip
PICTURES = DENSITIES | {
    "BlockNorms", "Carriers", "ClassStructure", "CurvatureHalves", "Diagonal", "Eigenpairs", "LayerTraces", "LossSlice",
    "Overlap", "SpectrumHistory", "SubspaceAngles",
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_each_kind_is_shown_and_drawn_and_compared_or_says_what_to_do(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    RESULTS[name].save("result.npz")
    Spectrum(np.diag(MATRIX)).save("exact.npz")
    assert main(["show", "result.npz"]) == 0
    kind = type(RESULTS[name]).__name__
    for line, is_possible in (
        ("plot result.npz --out f.png", kind in PICTURES),
        ("plot result.npz --out g.png --window 1%", kind in PICTURES),
        ("compare result.npz exact.npz", kind in DENSITIES | {"Moments"}),
    ):
        capsys.readouterr()
        assert main(line.split()) == (0 if is_possible else 1)
        message = capsys.readouterr().err
        if not is_possible:
            assert message.count("\n") == 1
            assert f"it holds {kind}." in message
            assert "`hessdens show result.npz` prints it" in message
