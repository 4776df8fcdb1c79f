"""What commands share: output that is safe to print, and the same for text and JSON."""

import argparse
import json

import pytest

from hessdens import Spectrum
from hessdens.cli.errors import CommandError
from hessdens.cli.output import loaded, print_json, printable, summary
from hessdens.mixture import SkewNormalMixture


def test_text_of_a_file_cannot_move_the_cursor():
    assert printable("a\x1b[2Jb\nc\r") == "a?[2Jb\nc?"


def test_json_has_a_head(capsys):
    print_json(argparse.Namespace(json=True, command="show"), results=[])
    assert json.loads(capsys.readouterr().out).keys() == {"schema", "hessdens", "command", "results"}
    print_json(argparse.Namespace(json=False, command="show"), results=[])
    assert capsys.readouterr().out == ""


def test_summaries_are_of_the_window_that_was_asked_for():
    usual, other = (argparse.Namespace(window=window, level=0.95) for window in (0.2, 0.02))
    spectrum, mixture = Spectrum([0.0, 0.05, 1.0]), SkewNormalMixture(0.5, 0.0, 1.0, 0.0)
    assert summary(spectrum, usual) == str(spectrum)
    assert "  degenerate: 33.33%, 1 of 3\n" in summary(spectrum, other)
    assert "  window: |λ| < 0.01, width 0.02, " in summary(spectrum, other)
    assert summary(mixture, usual) == str(mixture)
    assert summary(mixture, other).endswith("negative (window 0.02, 95% intervals)")


def test_files_of_other_kinds_are_refused(tmp_path):
    Spectrum([1.0]).save(tmp_path / "s.npz")
    with pytest.raises(CommandError, match=r"s\.npz must hold numbers; it holds Spectrum\."):
        loaded(str(tmp_path / "s.npz"), int, what="numbers")
