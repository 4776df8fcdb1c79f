"""Answers of processes that work together, launched once for all tests, and those of one process."""

import os

import pytest
from filelock import FileLock
from ranks import LOSS, PLAN, answers, batches, found_by_ranks, launch, network

from hessdens import hessian_operator


@pytest.fixture(scope="session")
def together(tmp_path_factory):
    """Return what each process found; the processes run once, also where several workers run the tests."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / "together"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            result = launch("together", folder)
            assert result.returncode == 0, result.stderr[-5000:]
    found = found_by_ranks(folder)
    assert None not in found, "the launch has failed; the first test that needed it says why"
    return found


@pytest.fixture(scope="session")
def alone():
    return answers(hessian_operator(network(), LOSS, batches(), plan=PLAN))
