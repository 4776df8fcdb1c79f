"""What it costs to make an operator, beside an earlier version, and what the checks of derivatives cost of it.

    python benchmarks/construction.py [--before PATH] [--rounds 5]

PATH is a checkout of the earlier version. Both take turns in processes of their own, with one thread. Seconds are those
of the processor, the least of all rounds. "checks" are what confirms second derivatives (the graph of the loss, and
differences of gradients); "first" is the first product with one vector, which may try another mode, and "product" a
later one, over the same examples.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import hvp_models
import torch
from measuring import origin, parser_of, save
from torch import nn

from hessdens import ggn_operator, hessian_operator
from hessdens.curvature.engines.loss_module import LossModule
from hessdens.curvature.planner import LARGE_MODEL

try:
    from hessdens.curvature.trials import confirmation, graph
except ImportError:  # of a version that confirms no second derivatives
    confirmation = graph = None  # type: ignore[assignment]

CASES: dict[str, Callable[[], hvp_models.Case]] = {
    "20x128": lambda: hvp_models.skip_network("plain", 20, 128, 128, 1000, 1),
    "10x16": lambda: hvp_models.skip_network("plain", 10, 16, 128, 1000, 1),
    "transformer": lambda: hvp_models.transformer(100, 32, 64, 4, 2, 200),
    "ResNet-18": hvp_models.resnet18,
}
OPERATORS = {"Hessian": hessian_operator, "Gauss-Newton": ggn_operator}


def seconds_of(function: Callable[[], Any]) -> float:
    """Return the seconds of the processor that a call takes."""
    start = process_time()
    function()
    return process_time() - start


def measure(name: str) -> dict[str, Any]:
    """Return seconds for one model with this version."""
    torch.set_num_threads(1)
    case = CASES[name]()
    data, loss_fn = [(case.inputs, case.targets)], nn.CrossEntropyLoss()
    found: dict[str, Any] = {}
    for kind, make in OPERATORS.items():
        rows = []
        for _ in range(2):
            made: list[Any] = []
            seconds = [seconds_of(lambda make=make, made=made: made.append(make(case.model, loss_fn, data)))]
            vector = torch.ones(made[0].size)
            rows.append(seconds + [seconds_of(lambda A=made[0], v=vector: A.matvec(v)) for _ in range(2)])
        found[kind] = dict(zip(("operator", "first", "product"), map(min, zip(*rows, strict=True)), strict=True))
    if confirmation is not None:
        found["Hessian"]["checks"] = seconds_of(lambda: checks(case.model, loss_fn, data))
    return found


def checks(model: nn.Module, loss_fn: nn.Module, data: list[Any]) -> None:
    """Make the checks of derivatives alone, on the few examples that an operator takes for them."""
    values = dict(model.named_parameters())
    size = sum(value.numel() for value in values.values())
    few = tuple(part[: 1 if size > LARGE_MODEL else 8] for part in data[0])
    loss, vectors = LossModule(model, loss_fn, None), torch.randn(2, size)
    facts = graph.graph_of(loss, values, few)
    confirmation.confirmed(vectors, loss, values, few, vectors, facts.custom_functions)


def once(checkout: Path, name: str) -> dict[str, Any]:
    """Return what `measure` finds with the version in a checkout."""
    command = [sys.executable, "-P", __file__, "--measure", name]  # with the models of that version too
    surroundings = {**os.environ, "PYTHONPATH": f"{checkout}:{checkout / 'benchmarks'}", "OMP_NUM_THREADS": "1"}
    return dict(json.loads(subprocess.run(command, env=surroundings, check=True, capture_output=True).stdout))


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", choices=CASES, help="used by the script itself")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    versions = {"now": Path(__file__).resolve().parents[1]}
    if options.before:
        versions["before"] = options.before.resolve()
    table: dict[str, Any] = {}
    for name in CASES:
        rounds = [{label: once(path, name) for label, path in versions.items()} for _ in range(options.rounds)]
        for kind in OPERATORS:
            rows = {
                label: {what: min(each[label][kind][what] for each in rounds) for what in rounds[0][label][kind]}
                for label in versions
            }
            table[f"{name}, {kind}"] = rows
            ratio = rows["now"]["operator"] / rows["before"]["operator"] if "before" in rows else float("nan")
            print(f"{name}, {kind}: {rows} ratio {ratio:.2f}", flush=True)
    save(options.output, {**origin(), "rounds": options.rounds, "seconds of the processor": table})


if __name__ == "__main__":
    main()
