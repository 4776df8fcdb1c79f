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
        (1, "density factories:problem --products 1", "--products must be at least 4 for 2 steps of 2 probes; got 1"),
        (
            1,
            "density factories:problem --method exact --max-size 9",
            "exact_spectrum takes operators of size --max-size=9 at",
        ),
        (
            1,
            "moments factories:problem --probes 2 --products 9",
            "--probes or --products may be given, not both; got 2",
        ),
        (
            1,
            "density factories:problem --probes 1000000000",
            "lanczos_density with 30 steps of 1,000,000,000 probes needs .* GiB; .* free. Take .*, or --low-memory",
        ),
        (
            1,
            "moments factories:problem --method skilling --probes 1000000000",
            "An estimate of 4 moments from 1,000,000,000 probes needs about 59.6 GiB; .* are free. Take fewer",
        ),
        (
            1,
            "density factories:exits",
            r"FACTORY and what it makes must return, .*; .*factories.py, line \d+, exits with 0",
        ),
        (1, "density factories:quits", r"FACTORY and what .*; .*factories.py, line \d+, exits with None"),
        (
            1,
            "density factories:exits_in_the_model",
            r"FACTORY and what .*; .*factories.py, line \d+, exits with 'no more'",
        ),
        (1, "plot density.npz --out p.png --labels $\\frac$", "p.png must be a picture that can be drawn: "),
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


def test_what_is_no_exception_ends_the_work_too(run):
    status, _, err = run("density factories:abandons")
    assert status == 1
    assert err.endswith("hessdens: the work failed with the Abandoned above.\n")


def test_modules_that_exit(run, tmp_path):
    (tmp_path / "leaves.py").write_text("raise SystemExit\n")
    for place in ("leaves:problem", "leaves.py:problem"):
        status, out, err = run(f"density {place}")
        assert (status, out) == (1, "")
        assert re.match(r"hessdens: FACTORY and .*leaves.py, line 1, exits with None.\n$", err)


def test_errors_while_the_users_module_is_imported_show_where(run, tmp_path):
    (tmp_path / "broken.py").write_text("import torch\nimport not_there_at_all\n")
    for place in ("broken:problem", "broken.py:problem"):
        status, _, err = run(f"density {place}")
        assert status == 1
        assert "import not_there_at_all" in err
        assert err.endswith("hessdens: the work failed with the ModuleNotFoundError above.\n")


def test_options_that_messages_name_exist():
    helps = [command.format_help() for command in parser()._subparsers._group_actions[0].choices.values()]
    for argument, option in OPTIONS.items():
        found = [text for text in helps if re.search(rf"^  {option}\b", text, re.MULTILINE)]
        assert found, argument
