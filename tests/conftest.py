"""Shared set-up: Hypothesis profiles, and how many processes and threads run the tests."""

import os
import sys
from pathlib import Path

CORES = os.cpu_count() or 1
# What tests share is not searched for tests, nor for examples in docstrings.
collect_ignore = [path for path in Path(__file__).parent.rglob("*.py") if not path.name.startswith("test_")]
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # before torch is imported, and for processes of the tests
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, str(max(1, CORES // int(workers))))

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import Phase, settings  # noqa: E402

# The first call of a compiled kernel takes longer than Hypothesis' default deadline of 200 ms.
settings.register_profile("dev", deadline=None)
# The same examples every time, and the first that fails is enough: ``make mutation``.
settings.register_profile("mutants", settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate))
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(autouse=True)
def _same_random_numbers():
    """Start each test from one random state of torch, whichever tests ran before it in the same process."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_figures_left():
    """Close the figures of tests and of examples that ran before in the same process: pyplot warns from the 21st on."""
    _close_figures()
    yield
    _close_figures()


def _close_figures() -> None:
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def pytest_xdist_auto_num_workers() -> int:
    """Return the processes of ``make test``: each holds torch and what its tests need, so not one a core on many."""
    return min(4, CORES)
