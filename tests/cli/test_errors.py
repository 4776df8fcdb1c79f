"""Errors: a line for what hessdens refuses, a traceback for others' code."""

import os
import re

import pytest

from hessdens.cli.errors import OPTIONS
from hessdens.cli.options import parser


@pytest.mark.parametrize(
    ("status", "line", "message"),
    [
        (
            1,
            "density factories:problem --parameters 9.weight",
            "parameters must name parameters of the model; '9.weight'",
        ),
        (1, "density factories:problem --probes 1", "--probes must be at least 2; got 1"),
        (1, "density factories:problem --products 1", "--products must be at least 4 for 2 steps of 2 probes; got 1"),
        (
            1,
            "density factories:problem --method exact --max-size 9",
            "exact_spectrum takes operators of size --max-size=9 at",
        ),
        (1, "moments factories:problem --rtol 2", "--rtol must lie between 0 and 1; got 2"),
        (1, "moments factories:problem --moments 0", "--moments must be at least 1; got 0"),
        (1, "moments factories:problem --seed -1", "seed must be .*; got -1"),
    ],
)
def test_errors_are_one_line(assert_refused, status, line, message):
    assert_refused(status, line, message)


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


def test_options_that_messages_name_exist():
    helps = [main_help(command) for command in ("density", "moments")]
    for argument, option in OPTIONS.items():
        found = [text for text in helps if re.search(rf"^  {option}\b", text, re.MULTILINE)]
        assert found, argument


def main_help(command):
    actions = parser()._subparsers._group_actions[0].choices
    return actions[command].format_help()
