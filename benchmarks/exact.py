"""Exact spectrum of the 10x32 network (14,292 parameters), 2,000 examples: time of the Hessian and of its eigenvalues.

    python benchmarks/exact.py [--width 16] [--device cuda]

Both in float64. Peak memory is that of the process.
"""

import argparse
import json
import platform
import resource
import time
from datetime import date
from pathlib import Path

import torch
from hvp import processor
from hvp_models import skip_network
from torch import nn

from hessdens import Spectrum, hessian_operator
from hessdens.estimators.exact import dense_matrix
from hessdens.estimators.run import Run

RESULTS = Path(__file__).resolve().parent / "results" / "exact.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--examples", type=int, default=2_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    case = skip_network("plain", 10, options.width, 128, options.examples, 1)
    model = case.model.double().to(options.device)
    data = [(case.inputs.double().to(options.device), case.targets.to(options.device))]
    start = time.perf_counter()
    operator = hessian_operator(model, nn.CrossEntropyLoss(), data)
    matrix = dense_matrix(Run(operator, block_size=64, progress=True))
    if options.device == "cuda":
        torch.cuda.synchronize()
    hessian = time.perf_counter() - start
    start = time.perf_counter()
    spectrum = Spectrum(torch.linalg.eigvalsh(matrix).cpu().numpy())
    eigenvalues = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{operator.size:,} parameters, {operator.plan}\n{spectrum}")
    print(f"Hessian {hessian:.0f} s, eigenvalues {eigenvalues:.0f} s, peak {peak:.1f} GiB")
    content = {
        "date": date.today().isoformat(),
        "machine": processor(options.device),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "data": case.data,
        "parameters": operator.size,
        "examples": options.examples,
        "hessian_seconds": hessian,
        "eigenvalue_seconds": eigenvalues,
        "peak_gib": peak,
    }
    options.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
