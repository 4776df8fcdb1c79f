"""Overhead of watching a training run: what was allowed, and what it was.

    python benchmarks/monitor.py [--steps 5000]

The paper's plain network of 20 layers of 128 units on CIFAR-100 (Adam, batches of 500), watched with several budgets.
A measurement takes 50 products on the first 500 training examples. Reported: the time of measuring over that of
training, both from within the monitor; the same from outside, as the wall time of the watched loop over that of a plain
loop of as many steps, less 1, the two in turns of 50 steps so that a slow machine is slow for both, with the standard
error that the turns without a measurement show; the number of records and the seconds of each; and how much smaller
errors of changes between successive records are than unpaired ones.
"""

import copy
import time
from typing import Any

import numpy as np
import torch
from hvp_models import Case, skip_network
from measuring import origin, parser_of, save
from skip_paper.networks.training import train
from torch import nn

from hessdens import SpectrumMonitor
from hessdens.densities.difference import NAMES

BUDGETS = (0.05, 0.2)
EXAMPLES, PRODUCTS, TURN = 500, 50, 50


class Stopwatch:
    """Seconds spent inside: each loop has its own time, in which the other's does not count."""

    def __init__(self) -> None:
        self._total = 0.0
        self._began: float | None = None

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._total, self._began = self(), None

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self._total + (time.perf_counter() - self._began if self._began is not None else 0.0)


def measure(case: Case, budget: float, num_steps: int) -> dict[str, Any]:
    watched, plain = copy.deepcopy(case.model), copy.deepcopy(case.model)
    steps = range(1, num_steps + 1)
    loops = [train(network, case.inputs, case.targets, measure_at=steps, seed=0) for network in (watched, plain)]
    data = [(case.inputs[:EXAMPLES], case.targets[:EXAMPLES])]
    clocks = (Stopwatch(), Stopwatch())
    with clocks[0]:
        monitor = SpectrumMonitor(
            watched, nn.CrossEntropyLoss(), data, overhead=budget, max_products=PRODUCTS, clock=clocks[0]
        )
    differences = []  # of the two loops, in turns without a measurement
    for turn in range(num_steps // TURN):
        before, records = [clock() for clock in clocks], len(monitor.history)
        for which in ((0, 1), (1, 0))[turn % 2]:
            with clocks[which]:
                for _ in range(TURN):
                    next(loops[which])
                    if which == 0:
                        monitor.step()
        if len(monitor.history) == records:
            watched_seconds, plain_seconds = (clock() - start for clock, start in zip(clocks, before, strict=True))
            differences.append(watched_seconds - plain_seconds)
    same = all(torch.equal(p, q) for p, q in zip(watched.parameters(), plain.parameters(), strict=True))
    history = monitor.history
    pairs = zip(history.steps[:-1], history.steps[1:], strict=True)
    gains = [history.difference(int(first), int(second)).gain for first, second in pairs]
    return {
        "budget": budget,
        "overhead": monitor.overhead,
        "overhead_from_outside": clocks[0]() / clocks[1]() - 1,
        "error_from_outside": len(differences) ** 0.5 * float(np.std(differences, ddof=1)) / clocks[1](),
        "plain_seconds": clocks[1](),
        "records": len(history),
        "seconds_of_records": np.diff([0.0, *(record.measuring_seconds for record in history)]).tolist(),
        "steps": history.steps.tolist(),
        "weights_equal_to_the_last_bit": same,
        "parameters": history[0].density.size if history[0].density is not None else 0,
        "median_gain_of_pairing": dict(zip(NAMES, np.median(gains, axis=0).tolist(), strict=True)) if gains else {},
        "data": case.data,
    }


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--budgets", type=float, nargs="+", default=list(BUDGETS))
    options = parser.parse_args()
    case = skip_network("plain", 20, 128, 128, 50_000, 1)
    for _ in train(copy.deepcopy(case.model), case.inputs, case.targets, measure_at=range(1, TURN + 1), seed=0):
        pass  # what a process does once is no cost of watching
    rows = []
    for budget in options.budgets:
        row = measure(case, budget, options.steps)
        rows.append(row)
        print(
            f"budget {budget:.0%}: overhead {row['overhead']:.2%}, from outside {row['overhead_from_outside']:.2%} "
            f"(standard error {row['error_from_outside']:.2%}), "
            f"{row['records']} records in {row['plain_seconds']:.0f} s of training, weights "
            f"{'equal' if row['weights_equal_to_the_last_bit'] else 'DIFFERENT'}",
            flush=True,
        )
        print(f"  gain of pairing {row['median_gain_of_pairing']}", flush=True)
    content = {
        **origin(),
        "steps": options.steps,
        "products": PRODUCTS,
        "examples": EXAMPLES,
        "budgets": rows,
    }
    save(options.output, content)


if __name__ == "__main__":
    main()
