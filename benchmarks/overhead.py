"""Moments of a 20x128 network: error at 50 products, and time beyond that of the products.

    python benchmarks/overhead.py [--epochs 1] [--seeds 20]

The network of the paper (20 layers of 128 units, on CIFAR-100) after training, 2,000 examples. The reference is the
default estimator with 2,000 products and other probes; errors are relative to it. Overhead: wall time of a call over
the time that it spends in products, less 1.
"""

from typing import Any

import numpy as np
from hvp_models import skip_network
from measuring import origin, parser_of, save, timed
from skip_paper.networks.training import train
from torch import Tensor, nn

from hessdens import hessian_operator, lanczos_density, spectral_moments
from hessdens.linalg import Operator
from hessdens.linalg.operator import Wrapped

PRODUCTS, REFERENCE, EXAMPLES = 50, 2000, 2000


class Timed(Wrapped):
    """An operator that adds up the time of its products."""

    def __init__(self, operator: Operator) -> None:
        super().__init__(operator)
        self.seconds = 0.0

    def _matmat(self, V: Tensor) -> Tensor:
        products, seconds = timed(self._operator.matmat, V)
        self.seconds += seconds
        return products


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    table: dict[str, Any] = {}
    for architecture in ("plain", "residual"):
        case = skip_network(architecture, 20, 128, 128, 50_000, 1)
        steps = options.epochs * (len(case.inputs) // 500)
        for _ in train(case.model, case.inputs, case.targets, measure_at=[steps], seed=0):
            pass
        data = [(case.inputs[:EXAMPLES], case.targets[:EXAMPLES])]
        operator = hessian_operator(case.model, nn.CrossEntropyLoss(), data)
        reference = spectral_moments(operator, max_products=REFERENCE, seed=10_000)
        print(f"{architecture} after {options.epochs} epochs\n{reference}", flush=True)
        calls = {
            "skilling": lambda A, seed: spectral_moments(A, method="skilling", max_products=PRODUCTS, seed=seed),
            "deflated": lambda A, seed: spectral_moments(A, max_products=PRODUCTS, seed=seed),
            "lanczos_density": lambda A, seed: lanczos_density(A, max_products=PRODUCTS, seed=seed),
        }
        rows: dict[str, Any] = {}
        for name, call in calls.items():
            errors, overheads = [], []
            for seed in range(options.seeds):
                clocked = Timed(operator)
                result, seconds = timed(call, clocked, seed)
                overheads.append(seconds / clocked.seconds - 1)
                values = result.moments(4) if name == "lanczos_density" else result.values
                errors.append(values / reference.values - 1)
            rows[name] = {
                "rms_errors": np.sqrt(np.mean(np.square(errors), axis=0)).tolist(),
                "overhead": float(np.median(overheads)),
            }
            print(f"  {name}: errors {rows[name]['rms_errors']}, overhead {rows[name]['overhead']:.1%}", flush=True)
        gain = np.array(rows["skilling"]["rms_errors"]) / rows["deflated"]["rms_errors"]
        print(f"  gain of the default over Skilling's {gain}", flush=True)
        table[architecture] = {
            "parameters": operator.size,
            "reference": reference.values.tolist(),
            "reference_errors": (reference.standard_errors / np.abs(reference.values)).tolist(),
            "gain": gain.tolist(),
            "methods": rows,
        }
    content = {
        **origin(),
        "epochs": options.epochs,
        "seeds": options.seeds,
        "products": PRODUCTS,
        "reference_products": REFERENCE,
        "examples": EXAMPLES,
        "networks": table,
    }
    save(options.output, content)


if __name__ == "__main__":
    main()
