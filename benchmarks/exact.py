"""Exact spectrum of the 10x32 network (14,292 parameters), 2,000 examples: time of the Hessian and of its eigenvalues.

    python benchmarks/exact.py [--width 16] [--device cuda]

Both in float64. Peak memory is that of the process.
"""

import resource

import torch
from hvp_models import skip_network
from measuring import origin, parser_of, save, timed
from torch import nn

from hessdens import Spectrum, hessian_operator
from hessdens.estimators.exact import dense_matrix
from hessdens.estimators.run import Run


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--examples", type=int, default=2_000)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    case = skip_network("plain", 10, options.width, 128, options.examples, 1)
    model = case.model.double().to(options.device)
    data = [(case.inputs.double().to(options.device), case.targets.to(options.device))]
    operator, built = timed(hessian_operator, model, nn.CrossEntropyLoss(), data, device=options.device)
    run = Run(operator, block_size=64, progress=True)
    matrix, filled = timed(dense_matrix, run, device=options.device)
    hessian = built + filled
    spectrum, eigenvalues = timed(lambda: Spectrum(torch.linalg.eigvalsh(matrix).cpu().numpy()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{operator.size:,} parameters, {operator.plan}\n{spectrum}")
    print(f"Hessian {hessian:.0f} s, eigenvalues {eigenvalues:.0f} s, peak {peak:.1f} GiB")
    content = {
        **origin(options.device),
        "data": case.data,
        "parameters": operator.size,
        "examples": options.examples,
        "hessian_seconds": hessian,
        "eigenvalue_seconds": eigenvalues,
        "peak_gib": peak,
    }
    save(options.output, content)


if __name__ == "__main__":
    main()
