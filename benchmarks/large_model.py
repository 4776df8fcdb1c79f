"""Time and peak memory of four moments from four probes, for a transformer of 124 million parameters at random.

    python benchmarks/large_model.py [--device cuda] [--sequences 2]

Prints the peak resident memory of the process (on CUDA, of the device) and writes ``results/large_model.json``.
"""

import argparse
import json
import resource
import time
from datetime import date
from pathlib import Path

import torch
from hvp import processor
from hvp_models import transformer
from torch import nn

from hessdens import hessian_operator, spectral_moments

RESULTS = Path(__file__).resolve().parent / "results" / "large_model.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sequences", type=int, default=2, help="of 128 tokens")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    case = transformer(50_257, 128, 768, 12, 12, options.sequences)
    model = case.model.to(options.device)
    data = [(case.inputs.to(options.device), case.targets.to(options.device))]
    start = time.perf_counter()
    operator = hessian_operator(model, nn.CrossEntropyLoss(), data)
    built = time.perf_counter() - start
    moments = spectral_moments(operator, 4, method="skilling", num_probes=4, progress=True)
    seconds = time.perf_counter() - start
    if options.device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    plan = operator.plan
    print(f"{operator.size:,} parameters, {options.sequences} sequences of 128 tokens, {plan}")
    print(f"{seconds:.0f} s, of which {built:.0f} s to make the operator; peak {peak / 2**30:.2f} GiB")
    for k, (value, error) in enumerate(zip(moments.values, moments.standard_errors, strict=True), start=1):
        print(f"m_{k} = {value:.3e} ± {error:.1e}")
    content = {
        "date": date.today().isoformat(),
        "machine": processor(options.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "parameters": operator.size,
        "sequences": options.sequences,
        "mode": plan.mode,
        "seconds": seconds,
        "peak_gib": peak / 2**30,
        "moments": moments.values.tolist(),
        "standard_errors": moments.standard_errors.tolist(),
    }
    options.output.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
