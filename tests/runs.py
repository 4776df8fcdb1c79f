"""Runs that keep a checkpoint; as a script: kill one at random moments, again and again.

    python tests/runs.py NAME FOLDER

prints how often it was killed and the folder in which a last one is left unfinished. A process of its own with a single
thread, since it forks.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from hessdens import as_operator, lanczos_density, spectral_moments
from hessdens.estimators import chebyshev_moments

EIGENVALUES = np.concatenate([0.01 * np.random.default_rng(0).standard_normal(280), np.geomspace(0.3, 30, 20)])
RUNS = {
    "skilling": lambda A, folder: spectral_moments(A, method="skilling", num_probes=30, checkpoint=folder),
    "deflated": lambda A, folder: spectral_moments(A, max_products=60, block_size=2, checkpoint=folder),
    "chebyshev": lambda A, folder: chebyshev_moments(A, 8, num_probes=12, block_size=2, checkpoint=folder),
    "lanczos": lambda A, folder: lanczos_density(A, max_products=60, checkpoint=folder),
    "low memory": lambda A, folder: lanczos_density(A, max_products=60, low_memory=True, checkpoint=folder),
}
KILLS = 20
LONGEST_WAIT = 0.03


class Counted:
    """A diagonal operator that counts its products, and takes some time for each."""

    def __init__(self, eigenvalues=EIGENVALUES, pause=0.0):
        self.entries, self.pause = torch.from_numpy(eigenvalues)[:, None], pause
        self.operator = as_operator(self.multiply, size=len(eigenvalues), dtype=torch.float64)
        self.products = 0

    def multiply(self, V):
        time.sleep(self.pause)
        self.products = getattr(self, "products", 0) + V.shape[1]
        return self.entries * V


def kill_again_and_again(name, folder):
    """Return how often a run was killed, and the folder of the last one; a new folder whenever one ends first."""
    chance, kills, finished = random.Random(name), 0, 0
    while kills < KILLS:
        child = os.fork()
        if child == 0:  # killed somewhere: in a product, in a file, between
            RUNS[name](Counted(pause=0.002).operator, folder / str(finished))
            os._exit(0)
        time.sleep(chance.uniform(0, LONGEST_WAIT))
        os.kill(child, signal.SIGKILL)
        if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            kills += 1
        else:
            finished += 1
    return kills, folder / str(finished)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(*kill_again_and_again(sys.argv[1], Path(sys.argv[2])))
