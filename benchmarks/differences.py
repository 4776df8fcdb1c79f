"""True error of central differences against the error they state, and against the rule of hessian-eigenthings.

    python benchmarks/differences.py [--pairs 200] [--seed 0]

Random networks (multilayer perceptrons and convolutions with max-pooling, of ReLU, Tanh and GELU units, after 0 to 29
steps of training) with random vectors, every fifth a unit vector; exact products in float64 are the reference. The rule
of hessian-eigenthings is (g(theta + h v) - g(theta - h v)) / (2 h) with h = 5e-3, in the model's dtype, whatever the
length of v. Results go to benchmarks/results/differences.json.
"""

import copy
import json

import numpy as np
import torch
from measuring import origin, parser_of, save
from torch import nn

from hessdens import Plan, hessian_operator

UNITS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "max-pooling": nn.ReLU}
STEP_OF_EIGENTHINGS = 5e-3


def random_network(kind: str, rng: np.random.Generator) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    unit, width, count = UNITS[kind], int(rng.integers(4, 24)), int(rng.integers(8, 200))
    if kind == "max-pooling":
        layers = [nn.Conv2d(1, 4, 3, padding=1), unit(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), unit(),
                  nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 5)]  # fmt: skip
        inputs = torch.randn(count, 1, 8, 8)
    else:
        layers = [nn.Linear(10, width), unit(), nn.Linear(width, width), unit(), nn.Linear(width, 5)]
        inputs = torch.randn(count, 10)
    model, labels = nn.Sequential(*layers), torch.randint(0, 5, (count,))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(int(rng.integers(0, 30))):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()
    return model, inputs, labels


def eigenthings(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    parameters = list(model.parameters())
    flat = nn.utils.parameters_to_vector(parameters).detach()
    gradients = []
    for sign in (1, -1):
        nn.utils.vector_to_parameters(flat + sign * STEP_OF_EIGENTHINGS * vector, parameters)
        loss = nn.functional.cross_entropy(model(inputs), labels)
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    nn.utils.vector_to_parameters(flat, parameters)
    return (gradients[0] - gradients[1]) / (2 * STEP_OF_EIGENTHINGS)


def pair(index: int, rng: np.random.Generator) -> dict[str, object]:
    kind = list(UNITS)[index % 4]
    model, inputs, labels = random_network(kind, rng)
    size = sum(p.numel() for p in model.parameters())
    vector = torch.randn(size)
    if index % 5 == 0:
        vector = torch.zeros(size)
        vector[int(rng.integers(size))] = 1
    wide = (copy.deepcopy(model).double(), inputs.double())
    loss_fn = nn.CrossEntropyLoss()
    exact = hessian_operator(wide[0], loss_fn, [(wide[1], labels)]) @ vector.double()
    row: dict[str, object] = {"kind": kind}
    for dtype, (network, x) in {"float32": (model, inputs), "float64": wide}.items():
        v = vector.to(x.dtype)
        operator = hessian_operator(network, loss_fn, [(x, labels)], plan=Plan("central-differences"))
        product = (operator @ v).double()
        other = eigenthings(network, x, labels, v).double()
        scale = float(exact.norm())
        row[dtype] = {"error": float((product - exact).norm()) / scale, "stated": operator.product_error,
                      "eigenthings": float((other - exact).norm()) / scale}  # fmt: skip
    return row


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    torch.manual_seed(options.seed)
    rows = [pair(index, rng) for index in range(options.pairs)]
    summary: dict[str, object] = {**origin(), "pairs": len(rows), "seed": options.seed}
    for dtype in ("float32", "float64"):
        errors, stated, others = np.array(
            [[row[dtype][name] for name in ("error", "stated", "eigenthings")] for row in rows]
        ).T
        kinds = np.array([row["kind"] for row in rows])
        summary[dtype] = {
            "coverage": float(np.mean(errors <= stated)),
            "coverage by kind": {kind: float(np.mean((errors <= stated)[kinds == kind])) for kind in UNITS},
            "median error": float(np.median(errors)),
            "largest error": float(errors.max()),
            "median stated": float(np.median(stated)),
            "largest stated": float(stated.max()),
            "median error of eigenthings": float(np.median(others)),
            "largest ratio to eigenthings": float((errors / others).max()),
        }
    print(json.dumps(summary, indent=2))
    save(options.output, summary)


if __name__ == "__main__":
    main()
