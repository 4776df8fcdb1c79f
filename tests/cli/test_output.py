"""What commands share: output that is safe to print, and the same for text and JSON."""

import argparse
import json

import pytest

from hessdens import Spectrum
from hessdens.cli.errors import CommandError
from hessdens.cli.output import loaded, print_fractions, print_json, printable


def test_text_of_a_file_cannot_move_the_cursor():
    assert printable("a\x1b[2Jb\nc\r") == "a?[2Jb\nc?"


def test_json_has_a_head(capsys):
    print_json(argparse.Namespace(json=True, command="show"), results=[])
    assert json.loads(capsys.readouterr().out).keys() == {"schema", "hessdens", "command", "results"}
    print_json(argparse.Namespace(json=False, command="show"), results=[])
    assert capsys.readouterr().out == ""


def test_fractions_of_the_usual_window_are_in_the_summary_already(capsys):
    spectrum = Spectrum([0.0, 0.05, 1.0])
    print_fractions(spectrum, argparse.Namespace(window=0.2, level=0.95))
    assert capsys.readouterr().out == ""
    print_fractions(spectrum, argparse.Namespace(window=0.02, level=0.95))
    assert capsys.readouterr().out == "  33.33% degenerate, 0.00% negative (window 0.02, 95% intervals)\n"


def test_files_of_other_kinds_are_refused(tmp_path):
    Spectrum([1.0]).save(tmp_path / "s.npz")
    with pytest.raises(CommandError, match=r"s\.npz must hold numbers; it holds Spectrum\."):
        loaded(str(tmp_path / "s.npz"), int, what="numbers")
