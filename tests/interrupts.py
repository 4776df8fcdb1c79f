"""Interrupts at random moments, and threads: the user's state is the same afterwards, and so are products.

    PYTHONPATH=tests python tests/interrupts.py --interrupts 1000
    PYTHONPATH=tests python tests/interrupts.py --interrupts 1000 --way line
    PYTHONPATH=tests python tests/interrupts.py --interrupts 0 --threads 4 --products 60

Signals strike as that of Ctrl-C does. Errors that are raised before a random line of hessdens, torch or contextlib
strike where no signal does, also while all is put back: there, torch's own contexts may be left open.
"""

import argparse
import gc
import multiprocessing
import random
import signal
import sys
import threading
import time
import warnings
from collections import Counter

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from users_state import changes, state

from hessdens import Plan, fisher_operator, ggn_operator, hessian_operator, lanczos_density, spectral_moments
from hessdens.monitor import SpectrumMonitor


class Restless(nn.Module):
    """Attention and a tied weight; writes to a buffer, sets and grows attributes, and draws random numbers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.keys, self.values, self.last = (
            nn.Linear(3, 4),
            nn.Linear(4, 4),
            nn.Linear(4, 4),
            nn.Linear(4, 2),
        )
        self.values.weight = self.keys.weight
        self.register_buffer("calls", torch.zeros(1))
        self.seen = []
        self.last.requires_grad_(False)
        self.double()
        self.first.weight.grad = torch.ones_like(self.first.weight)

    def forward(self, x):
        self.calls += 1
        self.latest = F.gelu(self.first(x)).unsqueeze(1)
        self.seen.append(random.random() + np.random.rand())  # noqa: NPY002
        h = F.scaled_dot_product_attention(self.latest, self.keys(self.latest), self.values(self.latest).tanh())
        return self.last(h.squeeze(1)) + 0 * torch.randn(2)


def perceptron():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2)).double()


def data():
    inputs = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return [(inputs[:4], torch.arange(4) % 2), (inputs[4:], torch.arange(2) % 2)]


LOSS = nn.CrossEntropyLoss()
SIZES = {"examples_per_block": 2, "probes_per_block": 2}


def sampled(*arguments, **options):
    return fisher_operator(*arguments, kind="monte-carlo", **options)


MATRICES = {"hessian": hessian_operator, "gauss-newton": ggn_operator, "fisher": sampled}
KINDS = [
    ("hessian", "feedforward"),
    ("hessian", "reverse-over-reverse"),
    ("hessian", "forward-over-reverse"),
    ("hessian", "central-differences"),
    ("gauss-newton", "feedforward"),
    ("gauss-newton", "reverse-over-reverse"),
    ("gauss-newton", "forward-over-reverse"),
    ("fisher", "reverse-over-reverse"),
]


def model_for(kind):
    return perceptron() if kind[1] == "feedforward" else Restless()


def make(kind, model, sizes=SIZES):
    return MATRICES[kind[0]](model, LOSS, data(), plan=Plan(mode=kind[1], **sizes))


def product(operator):
    vectors = torch.randn(operator.size, 3, dtype=operator.dtype, generator=torch.Generator().manual_seed(1))
    return operator @ vectors


def monitored(kind, model):
    # A monitor watches the Hessian.
    plan = Plan(mode=kind[1], **SIZES)
    return SpectrumMonitor(model, LOSS, data(), max_products=8, every=1, overhead=None, plan=plan)


# What is interrupted: functions of the kind of an operator, its model, and an operator that there is already.
ACTIONS = {
    "construction": lambda kind, model, operator: make(kind, model),
    "product": lambda kind, model, operator: product(operator),
    "settle": lambda kind, model, operator: make(kind, model, sizes={}).settle(3),
    "loss": lambda kind, model, operator: operator.loss(),
    "origin": lambda kind, model, operator: operator.origin(),
    "moments": lambda kind, model, operator: spectral_moments(operator, max_products=8),
    "lanczos": lambda kind, model, operator: lanczos_density(operator, max_products=8),
    "monitor": lambda kind, model, operator: monitored(kind, model),
}


class BySignal:
    """A signal after a part of the time that an action takes, with the handler of Ctrl-C."""

    place = ""

    def __init__(self, action):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
        self._seconds = min(times)

    def interrupt(self, action, part):
        past = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, max(part * self._seconds, 1e-6))
            action()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, past)


class ByLine:
    """An error before a line of hessdens, torch or contextlib, after a part of those that an action runs through."""

    PLACES = ("/hessdens/", "/torch/", "contextlib.py")

    def __init__(self, action):
        self._last = -1
        self._run(action)
        self._num_lines = self._count

    def interrupt(self, action, part):
        self._last = 1 + int(part * self._num_lines)
        self._run(action)

    def _run(self, action):
        self._count, self.place = 0, ""
        sys.settrace(self._call)
        try:
            action()
        finally:
            sys.settrace(None)

    def _call(self, frame, event, argument):
        return self._line if any(place in frame.f_code.co_filename for place in self.PLACES) else None

    def _line(self, frame, event, argument):
        if event == "line":
            self._count += 1
            if self._count == self._last:
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self._line


WAYS = {"signal": BySignal, "line": ByLine}


def trials(kind, action, num, seed, way="signal"):
    """Yield the outcome of each interrupt, what had changed afterwards, and before which line it struck, if known."""
    generator = random.Random(seed)
    model = model_for(kind)
    operator = make(kind, model)
    expected = product(operator)

    def work():
        ACTIONS[action](kind, model, operator)

    work()  # the first time takes longer
    interrupter = WAYS[way](work)
    for _ in range(num):
        before, error = state(model), None
        try:
            interrupter.interrupt(work, generator.random())
        except BaseException as caught:
            error = caught
        outcome = "finished" if error is None else type(error).__name__
        changed = changes(before, state(model))
        error = None  # and with it what its traceback holds
        gc.collect(1)
        changed += [name for name in changes(before, state(model)) if name not in changed]
        if not changed:
            changed = [] if is_same(operator, expected) else ["product"]
        yield outcome, changed, interrupter.place
        if changed:
            return


def is_same(operator, expected):
    try:
        return torch.equal(product(operator), expected)
    except Exception:  # in a context that is still open
        return False


def in_threads(kind, num_threads, num_products, *, operators=1, constructing=0):
    """Return what was wrong in threads that share operators of one model, while others make operators of it."""
    model = model_for(kind)
    shared = [make(kind, model) for _ in range(operators)]
    expected, before, wrong = product(shared[0]), state(model), []

    def multiply(index):
        compare(num_products, lambda: product(shared[index % operators]))

    def construct(_):
        compare(max(num_products // 10, 1), lambda: product(make(kind, model)))

    def compare(times, make_product):
        wrong.extend("product" for _ in range(times) if not torch.equal(make_product(), expected))

    def guarded(work, index):
        try:
            work(index)
        except Exception as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=guarded, args=(multiply, index)) for index in range(num_threads)]
    threads += [threading.Thread(target=guarded, args=(construct, index)) for index in range(constructing)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong + changes(before, state(model))


def tasks(names):
    return [(kind, name) for name in names for kind in KINDS if name != "monitor" or kind[0] == "hessian"]


def collected(arguments):
    warnings.simplefilter("ignore")
    return list(trials(*arguments))


def interrupt_all(options):
    """Print the outcomes of interrupts, and return how many changed something."""
    generator, faults, outcomes = random.Random(options.seed), 0, Counter()
    todo = tasks(options.actions)
    edges = [options.interrupts * i // len(todo) for i in range(len(todo) + 1)]
    for (kind, action), start, stop in zip(todo, edges, edges[1:], strict=False):
        # In a process of its own, so that what one leaves behind is not found in the next.
        with multiprocessing.get_context("fork").Pool(1) as pool:
            results = pool.map(collected, [(kind, action, stop - start, generator.random(), options.way)])[0]
        counts = Counter(outcome for outcome, _, _ in results)
        outcomes += counts
        print(*kind, action, dict(counts), flush=True)
        for outcome, changed, place in results:
            if changed:
                faults += 1
                print("  changed:", *changed, outcome, place, flush=True)
    print(f"by {options.way}: {dict(outcomes)}, {faults} of {sum(outcomes.values())} changed something")
    return faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--interrupts", type=int, default=1000)
    parser.add_argument("--way", choices=list(WAYS), default="signal")
    parser.add_argument("--actions", nargs="*", choices=list(ACTIONS), default=list(ACTIONS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--products", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    faults = interrupt_all(options) if options.interrupts else 0
    for kind in KINDS if options.threads else []:
        for sharing in ({"operators": 1}, {"operators": options.threads}, {"operators": 1, "constructing": 2}):
            wrong = in_threads(kind, options.threads, options.products, **sharing)
            print(
                *kind, f"{options.threads} threads x {options.products} products", sharing, "wrong:", wrong, flush=True
            )
            faults += len(wrong)
    return faults


if __name__ == "__main__":
    raise SystemExit(main() > 0)
