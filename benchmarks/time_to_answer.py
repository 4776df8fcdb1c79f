"""Wall time from a model, a loss and data to an answer: hessdens and its peers, everything included.

    OMP_NUM_THREADS=2 python benchmarks/time_to_answer.py [--models 10x16 convolutional ..] [--questions trace ..]

Models are trained for 200 steps. Each call makes its operator, finds its plan and gives its answer; seeds differ. Where
a library stops by itself, or has a default, its call is timed as it is. Where it wants a number of products m, numbers
are doubled until the error over all seeds is small enough: that is hindsight, which users do not have. Where hessdens
is given ``rtol``, two standard errors are within it, so that errors come out at half of it. Errors are roots of mean
squares over seeds, relative to references of many products (exact for small models). A way stops being tried where one
call took more than ``--limit`` seconds. Batches of peers have the fastest of three sizes. The libraries come with ``pip
install hessdens[peers,examples]``.
"""

import json
import math
import statistics
import time
import warnings
from typing import Any

import numpy as np
import torch
from answer_ways import LOSS, QUESTIONS, WINDOW, Problem, Way, own
from hvp_models import CASES, Case, convolutional, wide_perceptron
from measuring import PEERS, origin, parser_of, save, timed
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from hessdens import eigenpairs, exact_spectrum, lanczos_density, spectral_moments
from hessdens.structure import layer_traces

MODELS = {
    "10x16": CASES["10x16"],
    "convolutional": convolutional,
    "20x128": CASES["20x128"],
    "transformer": CASES["transformer"],
    "wide perceptron": wide_perceptron,
    "ResNet-18": CASES["ResNet-18"],
}
DEFAULT = ("10x16", "convolutional", "20x128")
STEPS, BATCH = 200, 100
FEWEST, MOST = 6, 6_144
# Parameters up to which references are exact.
EXACT = 6_000


def trained(case: Case) -> nn.Module:
    """Return the model after some steps of Adam."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(case.model.parameters(), lr=1e-3)
    for _ in range(STEPS):
        chosen = torch.randint(0, len(case.inputs), (min(BATCH, len(case.inputs)),))
        optimizer.zero_grad()
        LOSS(case.model(case.inputs[chosen]), case.targets[chosen]).backward()
        optimizer.step()
    case.model.zero_grad()
    return case.model


def problem_of(case: Case) -> Problem:
    """Return the trained model, and its data in the batches that are fastest for peers: by gradients of gradients."""
    model = trained(case)
    whole = [(case.inputs, case.targets)]
    by_size = {
        size: list(zip(case.inputs.split(size), case.targets.split(size), strict=True)) for size in case.batch_sizes
    }
    seconds = {size: timed(_product, model, batches)[1] for size, batches in by_size.items() for _ in range(2)}
    return Problem(model, whole, by_size[min(seconds, key=lambda size: seconds[size])])


def _product(model: nn.Module, batches: Any) -> None:
    parameters = list(model.parameters())
    for x, y in batches:
        gradients = torch.autograd.grad(LOSS(model(x), y), parameters, create_graph=True)
        torch.autograd.grad(gradients, parameters, gradients)


def references_of(problem: Problem, questions: list[str]) -> dict[str, list[float]]:
    """Return the answers, with an error far below what is asked for."""
    H, found = own(problem), {}
    if problem.size <= EXACT:
        values = exact_spectrum(H).eigenvalues
        traces = layer_traces(H, max_products=problem.size)
        outside = float(np.mean(np.abs(values) > WINDOW / 2 * np.abs(values).max()))
        every = [[float(values.sum())], [float(values[-1])], [outside], traces.values.tolist()]
        return {name: answer for name, answer in zip(QUESTIONS, every, strict=True) if name in questions}
    if "trace" in questions:
        moments = spectral_moments(H, 1, rtol=0.002, max_products=3_000, seed=99)
        found["trace"] = [problem.size * float(moments.values[0])]
    if "largest eigenvalue" in questions:
        found["largest eigenvalue"] = [float(eigenpairs(H, 1, rtol=1e-5, seed=99).values[0])]
    if "fraction outside of 1% of the largest" in questions:
        density = lanczos_density(H, window=f"{WINDOW:.0%}", rtol=0.02, max_products=1_000, seed=99)
        found["fraction outside of 1% of the largest"] = [1 - density.fraction_degenerate()]
    if "traces of layers" in questions:
        found["traces of layers"] = layer_traces(H, max_products=1_000, seed=99).values.tolist()
    return found


def measured(way: Way, problem: Problem, truth: list[float], goal: float, seeds: int, limit: float) -> dict[str, Any]:
    """Return seconds and error of a way; where it takes products, of the fewest tried that reach the goal."""
    products = FEWEST
    while True:
        row = {"library": way.library, "call": way.call, "products": products if way.has_budget else None}
        try:
            row |= _calls(way, problem, truth, products, seeds)
        except Exception as error:  # a peer that cannot: its message is the result
            return {**row, "failed": f"{type(error).__name__}: {error}"[:200]}
        if not way.has_budget or row["error"] <= goal:
            return row
        products *= 2
        if products > MOST or 2 * row["seconds"] > limit:
            return {**row, "would_take": row["seconds"] * (row["error"] / goal) ** 2}


def _calls(way: Way, problem: Problem, truth: list[float], products: int, seeds: int) -> dict[str, Any]:
    seconds, errors, exact = [], [], np.array(truth)
    for seed in range(seeds):
        answer, spent = timed(way.answer, problem, products, seed)
        seconds.append(spent)
        errors.append(float(np.linalg.norm(np.atleast_1d(answer) - exact) / np.linalg.norm(exact)))
    return {
        "seconds": statistics.median(seconds),
        "slowest": max(seconds),
        "error": math.sqrt(np.mean(np.square(errors))),
    }


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--models", nargs="+", default=list(DEFAULT), choices=MODELS)
    parser.add_argument("--questions", nargs="+", default=list(QUESTIONS), choices=QUESTIONS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of a call")
    options = parser.parse_args()
    content = json.loads(options.output.read_text()) if options.output.is_file() else {"models": {}}
    for name in options.models:
        case = MODELS[name]()
        problem = problem_of(case)
        start = time.perf_counter()
        references = references_of(problem, options.questions)
        print(f"\n{name}: {problem.size:,} parameters, {len(case.inputs):,} examples; references in "
              f"{time.perf_counter() - start:.0f} s: {references}", flush=True)  # fmt: skip
        entry = content["models"].setdefault(name, {})
        entry |= {"parameters": problem.size, "examples": len(case.inputs), "data": case.data}
        entry |= {"peers_batch": len(problem.peers_batches[0][0]), "seeds": options.seeds, **origin(packages=PEERS)}
        for question in options.questions:
            ways, goal = QUESTIONS[question]
            rows = []
            for way in ways():
                rows.append(measured(way, problem, references[question], goal, options.seeds, options.limit))
                _print(question, rows[-1])
            entry.setdefault("questions", {})[question] = {"goal": goal, "truth": references[question], "rows": rows}
            save(options.output, content)


def _print(question: str, row: dict[str, Any]) -> None:
    result = row.get("failed") or f"{row['seconds']:8.2f} s, error {row['error']:.2%}"
    more = f", would take {row['would_take']:.0f} s" if "would_take" in row else ""
    products = f" m = {row['products']}" if row["products"] else ""
    print(f"{question[:20]:20s} {row['library']:20s} {row['call']:52s}{products:10s} {result}{more}", flush=True)


if __name__ == "__main__":
    # Lazy warnings of peers about this torch, and ours where an accuracy was not reached, are not results.
    warnings.simplefilter("ignore")
    with sdpa_kernel(SDPBackend.MATH):
        main()
