"""The options: help, version, and command lines that are wrong."""

import factories
import pytest

import hessdens


@pytest.mark.parametrize(
    ("status", "line", "message"),
    [
        (2, "", "the following arguments are required: COMMAND"),
        (2, "dense", "invalid choice: 'dense'"),
        (2, "density", "the following arguments are required: FACTORY"),
        (
            2,
            "density factories:problem --prod 3",
            "unrecognized arguments: --prod 3. Did you mean --products[?] See hessdens density --help",
        ),
        (
            2,
            "moments factories:problem --num-probes 3",
            "arguments: --num-probes 3. Did you mean --probes[?] See hessdens moments",
        ),
        (2, "show density.npz --gpu", "unrecognized arguments: --gpu. See hessdens show --help"),
        (2, "--verbose show density.npz", "unrecognized arguments: --verbose. .*See hessdens --help"),
        (2, "density factories:counted --probes x", "--probes must be a whole number from 2 to 1,000,000,000; got 'x'"),
        (
            2,
            "density factories:counted --probes 1",
            "--probes must be a whole number from 2 to .*; got '1'. See hessdens d",
        ),
        (2, "density factories:counted --products 0", "--products must be a whole number from 1 to .*; got '0'"),
        (2, "density factories:counted --steps -3", "--steps must be a whole number from 2 to .*; got '-3'"),
        (2, "density factories:counted --seed -1", "--seed must be a whole number from 0 to .*; got '-1'"),
        (2, "density factories:counted --max-size 0", "--max-size must be a whole number from 1 to .*; got '0'"),
        (
            2,
            "density factories:counted --device meta",
            "--device must be a device that this machine has; got 'meta': .*",
        ),
        (
            2,
            "density factories:counted --device abacus",
            "--device must be a device that this machine has; got 'abacus'",
        ),
        (2, "density factories:counted --device hpu", "--device must be a device that this machine has; got 'hpu': .*"),
        (
            2,
            "density factories:counted --device cuda:-1",
            "--device must be a device that this machine has; got 'cuda:-1",
        ),
        (2, "validate --device meta", "--device must be a device that this machine has; got 'meta'"),
        (
            2,
            "moments factories:counted --moments 1000000000",
            "--moments must be a whole number from 1 to 10,000; got '10",
        ),
        (2, "moments factories:counted --rtol nan", "--rtol must be a number between 0 and 1; got 'nan'"),
        (2, "moments factories:counted --rtol -1", "--rtol must be a number between 0 and 1; got '-1'"),
        (
            2,
            "show density.npz --window nan",
            "--window must be .* or a percentage; got 'nan'",
        ),
        (2, "show density.npz --level 1", "--level must be a number between 0 and 1; got '1'"),
        (
            2,
            "compare density.npz exact.npz --moments 1000000000",
            "--moments must be a whole number from 1 to 1,000; got",
        ),
        (2, "plot density.npz --out p.png --dpi 0", "--dpi must be a whole number from 20 to 1,200; got '0'"),
        (
            2,
            "density factories:counted --checkpoint a\0b",
            "--checkpoint must be a path, which is not empty and has no z",
        ),
        (2, "density factories:counted --out a\0b", "--out must be a path, which is not empty and has no zero byte"),
        (2, "density a\0b:problem", "FACTORY must be a path, which is not empty and has no zero byte"),
        (2, "show a\0b", "FILE must be a path, which is not empty and has no zero byte"),
        (2, "show", "the following arguments are required: FILE"),
        (2, "plot density.npz", "the following arguments are required: --out"),
        (2, "compare density.npz", "the following arguments are required: REFERENCE"),
    ],
)
def test_errors_are_one_line(assert_refused, status, line, message):
    assert_refused(status, line, message)
    assert not factories.calls, "with this status nothing was tried"


@pytest.mark.parametrize("command", ["", "density", "moments", "show", "plot", "compare", "validate"])
def test_help(run, command):
    status, out, err = run(f"{command} --help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: hessdens {command}".rstrip())
    assert "Exit status: 0 done" in out
    assert max(len(line) for line in out.splitlines()) <= 120


def test_version(run):
    assert run("--version") == (0, f"hessdens {hessdens.__version__}\n", "")
