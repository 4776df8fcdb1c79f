"""What commands share: output that is safe to print, and the same for text and JSON."""

import argparse
import json

import pytest

from hessdens import Spectrum, fit_mixture
from hessdens.cli.errors import CommandError
from hessdens.cli.output import loaded, print_json, printable, summary


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
    with pytest.raises(CommandError, match=r"s\.npz must hold numbers; it holds Spectrum\."):
        loaded(str(tmp_path / "s.npz"), int, what="numbers")
