"""Time and peak memory of four moments from four probes, for a transformer of 124 million parameters at random.

    python benchmarks/large_model.py [--device cuda] [--sequences 2]

Prints the peak resident memory of the process (on CUDA, of the device) and writes ``results/large_model.json``.
"""

import resource

import torch
from hvp_models import transformer
from measuring import origin, parser_of, save, timed
from torch import nn

from hessdens import hessian_operator, spectral_moments


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sequences", type=int, default=2, help="of 128 tokens")
    options = parser.parse_args()
    case = transformer(50_257, 128, 768, 12, 12, options.sequences)
    model = case.model.to(options.device)
    data = [(case.inputs.to(options.device), case.targets.to(options.device))]
    operator, built = timed(hessian_operator, model, nn.CrossEntropyLoss(), data, device=options.device)
    moments, estimated = timed(lambda: spectral_moments(operator, 4, method="skilling", num_probes=4, progress=True))
    seconds = built + estimated
    if options.device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    plan = operator.plan
    print(f"{operator.size:,} parameters, {options.sequences} sequences of 128 tokens, {plan}")
    print(f"{seconds:.0f} s, {built:.0f} s of them to make the operator; peak {peak / 2**30:.2f} GiB")
    for k, (value, error) in enumerate(zip(moments.values, moments.standard_errors, strict=True), start=1):
        print(f"m_{k} = {value:.3e} ± {error:.1e}")
    content = {
        **origin(options.device),
        "parameters": operator.size,
        "sequences": options.sequences,
        "mode": plan.mode,
        "seconds": seconds,
        "peak_gib": peak / 2**30,
        "moments": moments.values.tolist(),
        "standard_errors": moments.standard_errors.tolist(),
    }
    save(options.output, content)


if __name__ == "__main__":
    main()
