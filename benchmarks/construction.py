"""What it costs to make an operator and its plan, beside an earlier version.

    python benchmarks/construction.py [--before PATH] [--rounds 5]

PATH is a checkout of the earlier version. Both take turns in processes of their own, with one thread. Seconds are those
of the processor, the least of all rounds. "checks" are what confirms second derivatives (the graph of the loss, and
differences of gradients); "first" is the first product with one vector, and "product" a later one, over the same
examples. Of perceptrons there is a density of 60 products: the first of an operator, which finds its plan, a later one,
and 120 gradients.
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

from hessdens import ggn_operator, hessian_operator, lanczos_density
from hessdens.curvature.engines.loss_module import LossModule

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
# Above this number of parameters, the library tries one example rather than eight.
LARGE_MODEL = 10_000_000
# Units of the hidden layers of perceptrons with 256 inputs, 10 classes, and 2,000 examples of noise.
WIDTHS = {"perceptron 256-512-512-10": 512, "perceptron 256-2048-2048-10": 2048}
PRODUCTS, GRADIENTS = 60, 120
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


def measure_densities(name: str) -> dict[str, Any]:
    """Return seconds of densities of one perceptron with this version."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    width = WIDTHS[name]
    layers = (nn.Linear(256, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 10))
    model, data = nn.Sequential(*layers), [(torch.randn(2_000, 256), torch.randint(0, 10, (2_000,)))]
    H = hessian_operator(model, nn.CrossEntropyLoss(), data)
    first, later = (
        seconds_of(lambda seed=seed: lanczos_density(H, max_products=PRODUCTS, seed=seed)) for seed in range(2)
    )
    gradients = seconds_of(lambda: [H.gradient() for _ in range(GRADIENTS // 10)]) * 10
    return {"density": {"first": first, "later": later, f"{GRADIENTS} gradients": gradients}}


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
    parser.add_argument("--measure", choices=[*CASES, *WIDTHS], help="used by the script itself")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps((measure_densities if options.measure in WIDTHS else measure)(options.measure)))
        return
    versions = {"now": Path(__file__).resolve().parents[1]}
    if options.before:
        versions["before"] = options.before.resolve()
    table: dict[str, Any] = {}
    for name in (*CASES, *WIDTHS):
        rounds = [{label: once(path, name) for label, path in versions.items()} for _ in range(options.rounds)]
        for kind in rounds[0]["now"]:
            rows = {
                label: {what: min(each[label][kind][what] for each in rounds) for what in rounds[0][label][kind]}
                for label in versions
            }
            table[f"{name}, {kind}"] = rows
            print(f"{name}, {kind}: {rows}", flush=True)
    save(options.output, {**origin(), "rounds": options.rounds, "seconds of the processor": table})


if __name__ == "__main__":
    main()
