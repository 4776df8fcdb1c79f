"""Commands that run in this process, in a folder of their own, with result files there."""

import re
import shutil

import numpy as np
import pytest
from factories import matrix

from hessdens import Spectrum, compare, lanczos_density, load_result, spectral_moments
from hessdens.cli import main
from hessdens.estimators import chebyshev_moments
from hessdens.monitor import SpectrumHistory
from hessdens.monitor.history import SpectrumRecord


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command in a folder of its own: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def command(line):
        status = main(line.split())
        return status, *capsys.readouterr()

    return command


@pytest.fixture(scope="session")
def kinds(tmp_path_factory):
    """A folder with a result of each kind that commands treat differently."""
    folder, exact = tmp_path_factory.mktemp("kinds"), Spectrum(np.diagonal(matrix()))
    diagonal = np.diag(exact.eigenvalues)
    exact.save(folder / "exact.npz")
    lanczos_density(diagonal, max_products=30).save(folder / "density.npz")
    moments = spectral_moments(diagonal, max_products=40)
    moments.save(folder / "moments.npz")
    chebyshev_moments(diagonal, 8).save(folder / "chebyshev.npz")
    compare(moments, exact).save(folder / "comparison.npz")
    density = load_result(folder / "density.npz")
    records = (SpectrumRecord(step, 1.0, density, "", 1.0, 0.1) for step in (0, 5))
    SpectrumHistory({"size": exact.size}, tuple(records)).save(folder / "history.npz")
    (folder / "cut.npz").write_bytes((folder / "exact.npz").read_bytes()[:200])
    return folder


@pytest.fixture
def saved(kinds, tmp_path):
    """Return a copy of that folder, the one in which commands run."""
    shutil.copytree(kinds, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def assert_refused(run, saved):
    """Return a function that fails unless a command ends with a status, one line that says why, and no new file."""

    def check(status, line, message):
        before = sorted(saved.iterdir())
        found, out, err = run(line)
        assert (found, out) == (status, "")
        assert re.match(rf"hessdens: .*{message}", err), err
        assert err.count("\n") == 1
        assert sorted(saved.iterdir()) == before

    return check
