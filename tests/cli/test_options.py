"""The options: help, version, and command lines that are wrong."""

import pytest

import hessdens


@pytest.mark.parametrize(
    ("status", "line", "message"),
    [
        (2, "", "the following arguments are required: COMMAND"),
        (2, "dense", "invalid choice: 'dense'"),
        (2, "density", "the following arguments are required: FACTORY"),
        (2, "density factories:problem --prod 3", "unrecognized arguments: --prod 3"),
        (2, "density factories:problem --probes x", "argument --probes: invalid int value: 'x'"),
        (2, "show", "the following arguments are required: FILE"),
        (2, "plot density.npz", "the following arguments are required: --out"),
        (2, "compare density.npz", "the following arguments are required: REFERENCE"),
    ],
)
def test_errors_are_one_line(assert_refused, status, line, message):
    assert_refused(status, line, message)


@pytest.mark.parametrize("command", ["", "density", "moments", "show", "plot", "compare", "validate"])
def test_help(run, command):
    status, out, err = run(f"{command} --help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: hessdens {command}".rstrip())
    assert "Exit status: 0 done" in out
    assert max(len(line) for line in out.splitlines()) <= 120


def test_version(run):
    assert run("--version") == (0, f"hessdens {hessdens.__version__}\n", "")
