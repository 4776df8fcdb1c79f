"""Runs that keep a checkpoint; as a script: processes that share a folder and are killed at random moments.

    python tests/runs.py lanczos FOLDER --kills 40 --processes 2

compares what is in each folder with an uninterrupted run. With "beginnings" in place of the name of a run, processes
begin at one moment in a new folder, and none is killed. A program of its own with a single thread, since it forks.
"""

import argparse
import os
import random
import re
import signal
import sys
import time
import traceback
from functools import partial
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
# Longer than a run takes, so that some are killed early, some late, and some end.
LONGEST_WAIT = 0.4


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


def numbers(result):
    """Return everything that a result consists of but for the time that it took."""
    if hasattr(result, "samples"):
        return [result.values, result.standard_errors, result.samples]
    quadrature = [getattr(result.quadrature, name) for name in ("eigenvalues", "weights", "abscissae")]
    return quadrature + [part for space in result.spaces for part in (space.ritz_values, space.coupling, space.probes)]


def assert_equal(first, second):
    for one, other in zip(numbers(first), numbers(second), strict=True):
        np.testing.assert_array_equal(one, other)


def in_child(function):
    """Call a function in a child process, whose status is what it returns, or 1 after an error; return the child."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        status = function() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def status_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_again_and_again(name, folder, kills, processes):
    """Keep so many processes at work in one folder, and kill one after the other, somewhere: in a product, in a file.

    When one ends, the others may end too, and a new folder follows. Every folder must hold the numbers of a run that
    was never interrupted. Return the number of folders.
    """
    chance, deadlines, folders = random.Random(name), {}, 1

    def run():
        RUNS[name](Counted(pause=0.002).operator, folder / str(folders))

    while kills:
        while len(deadlines) < processes:
            deadlines[in_child(run)] = time.monotonic() + chance.uniform(0, LONGEST_WAIT)
        victim = min(deadlines, key=deadlines.get)
        time.sleep(max(0.0, deadlines.pop(victim) - time.monotonic()))
        os.kill(victim, signal.SIGKILL)
        status = status_of(victim)
        if status == -signal.SIGKILL:
            kills -= 1
        else:
            statuses = [status, *map(status_of, deadlines)]
            assert not any(statuses), f"a run has failed: {statuses}"
            deadlines, folders = {}, folders + 1
    for child in deadlines:
        os.kill(child, signal.SIGKILL)
        status_of(child)
    alone = RUNS[name](Counted().operator, None)
    for place in folder.iterdir():
        assert_equal(RUNS[name](Counted().operator, place), alone)
    return folders


def begin_together(folder, seeds):
    """Let a process for each seed begin at one moment in a new folder.

    Return what became of each: 0 where its run has ended well, 2 where it was told that the folder is of another run.
    """
    wait, begin = os.pipe()

    def run(seed):
        os.close(begin)
        os.read(wait, 1)  # returns, in all of them, when the last one has been started
        try:
            lanczos_density(Counted().operator, num_steps=2, num_probes=2, seed=seed, checkpoint=folder)
        except ValueError as error:
            if not re.match(r"checkpoint must be of the same run; in .* seed is \d there and \d here", str(error)):
                raise
            return 2

    children = [in_child(partial(run, seed)) for seed in seeds]
    os.close(begin)
    os.close(wait)
    return [status_of(child) for child in children]


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*RUNS, "beginnings"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if options.name == "beginnings":
        for number in range(options.kills):
            seeds = [0] * options.processes if number % 2 else list(range(options.processes))
            print(seeds, begin_together(options.folder / str(number), seeds))
    else:
        folders = kill_again_and_again(options.name, options.folder, options.kills, options.processes)
        print(f"{options.kills} kills of {options.processes} processes in {folders} folders: all numbers equal")
