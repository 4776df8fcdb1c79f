"""How good plans are: time per probe over the number of probes, and the chosen block against all others.

    python benchmarks/plans.py [--models 10x16 ..] [--device cuda]

For each model, products with 1, 2, 4 .. probes, and for the most probes every mode and block of powers of two, timed
once; the five fastest are then timed alternately with the library's choice, since the least of many noisy times is too
low. Columns: microseconds per example and probe; chosen block's time over that of the best block found.
"""

import dataclasses
import itertools
import statistics
from typing import Any

import torch
from hvp_models import CASES, Case
from measuring import origin, parser_of, save, timed
from torch import Tensor, nn

from hessdens import Plan, hessian_operator
from hessdens.curvature import CurvatureOperator, Schedule

# Model: examples and the most probes.
SIZES = {"20x128": (1_000, 32), "10x16": (2_000, 64), "ResNet-18": (8, 8), "transformer": (16, 16)}
ROUNDS, FINALISTS = 5, 5
# Repeated until this much time is spent, so that short products count as much as long ones.
SECONDS = 0.2


def operator_of(case: Case, examples: int, device: str, plan: Plan | None = None) -> CurvatureOperator:
    data = [(case.inputs[:examples].to(device), case.targets[:examples].to(device))]
    return hessian_operator(case.model.to(device), nn.CrossEntropyLoss(), data, plan=plan)


def seconds(operator: CurvatureOperator, V: Tensor) -> float:
    """Return the least time of a product within a fifth of a second of them."""
    times: list[float] = []
    while not times or sum(times) < SECONDS:
        times.append(timed(operator.matmat, V, device=V.device.type)[1])
    return min(times)


def alternately(operators: list[CurvatureOperator], V: list[Tensor]) -> list[float]:
    """Return the median time of each over several rounds in turn."""
    rounds = [[seconds(o, v) for o, v in zip(operators, V, strict=True)] for _ in range(ROUNDS)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def powers_of_two(most: int) -> list[int]:
    return [2**i for i in range(most.bit_length()) if 2**i < most] + [most]


def _named(plan: Plan | Schedule) -> str:
    return f"{plan.mode} {plan.examples_per_block} x {plan.probes_per_block}"


def measure(name: str, device: str) -> dict[str, Any]:
    examples, most = SIZES[name]
    case = CASES[name]()
    size = sum(p.numel() for p in case.model.parameters())
    V = torch.randn(size, most, generator=torch.Generator().manual_seed(0)).to(device)

    counts = powers_of_two(most)
    operators, vectors = [], [V[:, :p].contiguous() for p in counts]
    for v in vectors:
        operators.append(operator_of(case, examples, device))
        operators[-1].settle(v.shape[1])
        operators[-1] @ v
    times = alternately(operators, vectors)
    per_probe = [1e6 * t / (p * examples) for t, p in zip(times, counts, strict=True)]
    rise = max(b / min(per_probe[: i + 1]) for i, b in enumerate(per_probe))
    print(f"\n{name}: {examples} examples\nprobes            " + "".join(f"{p:9d}" for p in counts))
    print("µs/example/probe  " + "".join(f"{t:9.2f}" for t in per_probe))
    print(f"never more than {rise - 1:.1%} above fewer probes")

    chosen = operators[-1].plan
    found: dict[Plan, float] = {}
    smallest = (16, 2) if examples > 100 else (1, 1)  # a block of one example is some hundred times slower
    blocks = itertools.product(operators[-1].modes, powers_of_two(examples), counts)
    for mode, b, p in blocks:
        if b >= smallest[0] and p >= smallest[1]:
            plan = Plan(mode, b, p)
            found[plan] = seconds(operator_of(case, examples, device, plan), V)
    finalists = sorted(found, key=lambda plan: found[plan])[:FINALISTS]
    contest = [operators[-1], *(operator_of(case, examples, device, plan) for plan in finalists)]
    own, *others = alternately(contest, [V] * len(contest))
    best = finalists[others.index(min(others))]
    print(
        f"chosen {_named(chosen)}: {own / min(others):.3f} of the best of {len(found)} blocks, {_named(best)}",
        flush=True,
    )
    return {
        "examples": examples,
        "data": case.data,
        "probes": counts,
        "microseconds": per_probe,
        "rise": rise,
        "chosen": dataclasses.asdict(chosen),
        "best": dataclasses.asdict(best),
        "blocks_tried": len(found),
        "chosen_over_best": own / min(others),
    }


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--models", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    table = {name: measure(name, options.device) for name in options.models}
    content = {
        **origin(options.device),
        "models": table,
    }
    save(options.output, content)


if __name__ == "__main__":
    main()
