"""What threads cost on cores that other programs use, and what hessdens says then.

    python benchmarks/busy_machine.py [--seconds 10]

Others are processes that do nothing but work, one for each core. Products of the Hessian of a small transformer
are taken as long as ``--seconds``, with a thread for each core and with one, each in a process of its own. "hint" is
whether hessdens said that threads wait.
"""

import os
import subprocess
import sys
import time

import torch
from measuring import origin, parser_of, save
from torch import nn

from hessdens import hessian_operator

CORES = len(os.sched_getaffinity(0))
WORK = "while True: pass"


class Network(nn.Module):
    """One layer of a transformer, and a linear head on the mean of its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True)
        self.head = nn.Linear(64, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return outputs, shape (B, 3), for inputs of shape (B, T, 64)."""
        outputs: torch.Tensor = self.head(self.body(inputs).mean(1))
        return outputs


def measure(seconds: float) -> None:
    """Print the seconds that a product takes."""
    torch.manual_seed(0)
    data = [(torch.randn(8, 16, 64), torch.randint(3, (8,))) for _ in range(4)]
    H = hessian_operator(Network().eval(), nn.CrossEntropyLoss(), data)
    v = torch.randn(H.size)
    start, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds or count == 0:
        H @ v
        count += 1
    print(elapsed / count)


def row(threads: int, seconds: float) -> dict[str, object]:
    """Return what a process of its own measures."""
    others = [subprocess.Popen([sys.executable, "-c", WORK]) for _ in range(CORES)]
    try:
        found = subprocess.run(
            [sys.executable, __file__, "--one", str(seconds)],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        for other in others:
            other.kill()
    hint = "torch.set_num_threads" in found.stderr
    return {"threads": threads, "seconds": float(found.stdout), "hint": hint}


if __name__ == "__main__":
    if "--one" in sys.argv:
        measure(float(sys.argv[-1]))
        sys.exit()
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to take products, in each row")
    arguments = parser.parse_args()
    rows = []
    for threads in (1, CORES):
        rows.append(row(threads, arguments.seconds))
        print("{threads:3} threads  {seconds:9.4f} s a product  hint: {hint}".format(**rows[-1]))
    save(arguments.output, {"origin": origin(), "cores": CORES, "rows": rows})
