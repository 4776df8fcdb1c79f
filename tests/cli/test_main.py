"""The command as a whole: progress, warnings, interrupts, pipes, and a sample through the shell."""

import io
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import hessdens
from hessdens import load_result
from hessdens.cli import self_test

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("line", "sign"), [("density factories:matrix --products 30", "products: 100%"), ("validate", "checks: 100%")]
)
def test_progress_is_shown_on_a_terminal_only(run, monkeypatch, line, sign):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(self_test, "CHECKS", (self_test.files,))
    for option, expected in (("", True), (" --quiet", False)):
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        assert run(f"{line}{option}")[0] == 0
        assert (sign in screen.getvalue()) == expected


def test_warnings_of_the_library_and_of_factories_are_lines(run):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        status, out, err = run("density factories:warned --method exact")
    assert (status, err) == (0, "hessdens: warning: the data are old\n")
    assert out.startswith("Spectrum of 43 eigenvalues")


def test_interrupted(run):
    status, out, err = run("density factories:interrupted")
    assert (status, out, err) == (130, "", "hessdens: interrupted. Nothing was written.\n")
    _, _, err = run("density factories:interrupted --checkpoint work")
    assert err == "hessdens: interrupted. Finished work is in work: the same command goes on from there.\n"


def shell(*line, cwd, **settings):
    environment = {**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, env=environment, **settings)


def test_through_the_shell(saved):
    module = (sys.executable, "-m", "hessdens")
    done = shell(*module, "density", "factories:matrix", "--products", "30", "--out", "r.npz", cwd=saved)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{load_result(saved / 'r.npz')}\n"
    failed = shell(*module, "show", "nowhere.npz", cwd=saved)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("hessdens: nowhere.npz must be a file")
    wrong = shell(*module, "show", cwd=saved)
    assert wrong.returncode == 2
    assert wrong.stderr == "hessdens: the following arguments are required: FILE. See hessdens show --help.\n"


def test_installed_entry_point(saved):
    command = Path(sys.executable).with_name("hessdens")
    if not command.exists():
        pytest.skip("hessdens is not installed beside this Python; pip install -e . does it")
    done = shell(str(command), "--version", cwd=saved)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"hessdens {hessdens.__version__}\n", "")


@pytest.mark.skipif(os.name == "nt", reason="pipes and signals are those of POSIX")
def test_a_reader_that_goes_and_a_user_who_interrupts(saved):
    show = f"{sys.executable} -m hessdens show {' '.join(['density.npz'] * 500)}"
    done = shell("bash", "-c", f"set -o pipefail; {show} | head -n 1", cwd=saved)
    assert done.stdout == "density.npz:\n"
    assert (done.returncode, done.stderr) == (1, "")
    (saved / "slow.py").write_text(
        "import pathlib, time\ndef wait():\n pathlib.Path('begun').touch()\n time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "hessdens", "density", "slow.py:wait"],
        cwd=saved,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        stderr=subprocess.PIPE,
        text=True,
        # A shell in the background has its children ignore interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (saved / "begun").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "hessdens: interrupted. Nothing was written.\n")
