"""Measures work shared out among processes: scaling, traffic, memory of sharded models, and ranks that are killed.

    python benchmarks/distributed.py [--only scaling,traffic,memory,kills] [--kills 10]

Processes talk by gloo and have one thread each. The parts:

- scaling: seconds of a product with examples shared by 1, 2 and 4 processes, and time of one over n times that of n.
- traffic: bytes that TCP connections have sent (``tcpi_bytes_sent`` of Linux) against the counts of ``Traffic``.
- memory: the largest resident memory of four processes in products with a sharded model, against the bound: (parameters
  + vectors) / 4 + one layer + a constant.
- kills: one of four processes killed at a random moment, again and again: how long the others take to end, and whether
  the run that is left in the end has the numbers of an uninterrupted one.
"""

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from measuring import origin, parser_of, save, timed
from torch import nn
from torch.distributed.fsdp import fully_shard
from wire import bytes_on_the_wire

from hessdens import Plan, distributed, hessian_operator, lanczos_density, spectral_moments
from hessdens.distributed.traffic import examples_traffic, probes_traffic, sharded_traffic

TIMEOUT = 30.0
WIDTH, DEPTH = 2048, 16
VECTORS = 2
LOSS = nn.functional.mse_loss
# The C library keeps freed blocks of up to 32 MiB in its heap, in pieces, unless it is told to give them back.
ALLOCATORS = {"as it is": {}, "MALLOC_MMAP_THRESHOLD_=1048576": {"MALLOC_MMAP_THRESHOLD_": "1048576"}}


def mlp(width: int, depth: int) -> nn.Module:
    torch.manual_seed(0)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def data(num_batches: int, length: int, width: int) -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(length, width, generator=generator), torch.randn(length, 10, generator=generator))
        for _ in range(num_batches)
    ]


def scaling() -> dict[str, Any]:
    """Time products of a 20x128 network on 2,000 examples."""
    part = distributed.part(data(20, 100, 128))
    operator: Any = hessian_operator(mlp(128, 20), LOSS, part, plan=Plan("feedforward", 100, 8))
    operator = distributed.share_examples(operator)
    V = torch.ones(operator.size, 8)
    return {"parameters": operator.size, "seconds": median_seconds(lambda: operator.matmat(V))}


def median_seconds(function: Callable[[], Any]) -> float:
    times = []
    function()
    for _ in range(7):
        dist.barrier()
        times.append(timed(function)[1])
    return statistics.median(times)


def traffic() -> dict[str, Any]:
    """Bytes sent in a product, counted and measured."""
    ranks, batches = dist.get_world_size(), data(2 * dist.get_world_size(), 10, 256)
    model, part = mlp(256, 4), distributed.part(batches)
    examples = distributed.share_examples(hessian_operator(model, LOSS, part))
    probes = distributed.share_probes(hessian_operator(model, LOSS, batches))
    V = torch.ones(examples.size, 8)
    found = {
        "examples": (examples_traffic(len(V), 8, ranks).bytes_sent, sent(lambda: examples.matmat(V))),
        "probes": (probes_traffic(len(V), 8, ranks).bytes_sent, sent(lambda: probes.matmat(V))),
    }
    sharded: Any = distributed.sharded_operator(shard(model), LOSS, part)
    plan = sharded_traffic(sharded.shard_sizes, 1, ranks, num_batches=sharded.num_steps)
    V = torch.ones(sharded.num_rows, 1)
    # Gloo makes an all-reduce of a reduce-scatter: twice its bytes.
    kinds = {"reduce-scatter": "all-reduce"}
    gloo = replace(plan, collectives=tuple((kinds.get(kind, kind), *rest) for kind, *rest in plan.collectives))
    found["sharded, gloo"] = (gloo.bytes_sent, sent(lambda: sharded.matmat(V)))
    return {name: {"planned": planned, "sent": measured} for name, (planned, measured) in found.items()}


def shard(model: nn.Module) -> nn.Module:
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    return fully_shard(model)


def sent(function: Callable[[], Any]) -> int:
    function()
    dist.barrier()
    before = bytes_on_the_wire()
    function()
    dist.barrier()
    return bytes_on_the_wire() - before


def memory() -> dict[str, Any]:
    """Peak resident memory of products with a sharded model, beyond what the program takes without it."""
    batches = distributed.part(data(dist.get_world_size(), 8, WIDTH))
    small = distributed.sharded_operator(shard(mlp(8, 2)), LOSS, [(x[:, :8], y) for x, y in batches])
    small.matvec(torch.ones(small.num_rows))  # brings the code into memory
    before = resident("VmRSS")
    with torch.device("meta"):
        model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(DEPTH)), nn.Linear(WIDTH, 10))
    shard(model).to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.to_local().normal_(std=WIDTH**-0.5)
    operator = distributed.sharded_operator(model, LOSS, batches)
    V = torch.randn(operator.num_rows, VECTORS)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    product = operator.matmat(V)
    peak = resident("VmHWM") - before
    # Parameters, their copy and a gradient; vectors, products, and one vector for the error.
    held = (3 + 2 * VECTORS + 1) * 4 * operator.size / dist.get_world_size()
    return {
        "parameters": operator.size,
        "vectors": VECTORS,
        "peak_mib": peak / 2**20,
        "held_mib": held / 2**20,
        "layer_mib": 4 * WIDTH**2 / 2**20,
        "product_error": operator.product_error,
        "finite": bool(product.isfinite().all()),
    }


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(name)))


def run(folder: str | None) -> list[Any]:
    part = distributed.part(data(8, 50, 32))
    operator = hessian_operator(mlp(32, 4), LOSS, part, plan=Plan("feedforward", 50, 8))
    shared = distributed.share_examples(operator)
    moments = spectral_moments(shared, num_probes=160, method="skilling", block_size=2, checkpoint=folder)
    density = lanczos_density(shared, num_probes=4, num_steps=20, checkpoint=folder and f"{folder}/density")
    return [moments.samples.tolist(), density.quadrature.abscissae.tolist(), density.quadrature.weights.tolist()]


def whole() -> dict[str, Any]:
    return {"numbers": run(None)}


def interrupted() -> dict[str, Any]:
    return {"numbers": run(os.environ["FOLDER"])}


PARTS = {part.__name__: part for part in (scaling, traffic, memory, whole, interrupted)}


def launch(part: str, ranks: int, folder: Path, **environment: str) -> list[subprocess.Popen[bytes]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"}
    return [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, "--worker", part, "--output", str(folder / f"{rank}.json")],
            env={**common, "MASTER_PORT": port, "RANK": str(rank), "LOCAL_RANK": str(rank), **environment},
        )
        for rank in range(ranks)
    ]


def results(part: str, ranks: int, **environment: str) -> list[dict[str, Any]]:
    """Return what each process found."""
    with tempfile.TemporaryDirectory() as name:
        processes = launch(part, ranks, Path(name), **environment)
        codes = [process.wait() for process in processes]
        if any(codes):
            sys.exit(f"{part} with {ranks} processes failed.")
        return [json.loads((Path(name) / f"{rank}.json").read_text()) for rank in range(ranks)]


def kills(count: int) -> dict[str, Any]:
    rng = random.Random(0)
    start = time.monotonic()
    expected = results("whole", 4)[0]["numbers"]
    length = time.monotonic() - start
    waits: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept, equal = 0, True
        while len(waits) < count:
            processes = launch("interrupted", 4, folder, FOLDER=str(folder / f"run-{kept}"))
            time.sleep(rng.uniform(0.2, 0.9) * length)
            victim = rng.randrange(4)
            if processes[victim].poll() is not None:  # the run was over: begin another
                kept += 1
                equal &= finished(processes, folder) == expected
                continue
            processes[victim].send_signal(signal.SIGKILL)
            killed = time.monotonic()
            codes = [process.wait() for process in processes]
            waits.append(time.monotonic() - killed)
            assert all(code != 0 for code in codes)
        processes = launch("interrupted", 4, folder, FOLDER=str(folder / f"run-{kept}"))
        equal &= finished(processes, folder) == expected
    return {"kills": count, "timeout_s": TIMEOUT, "others_ended_after_s": waits, "results_equal": equal}


def finished(processes: list[subprocess.Popen[bytes]], folder: Path) -> Any:
    for process in processes:
        process.wait()
    return json.loads((folder / "0.json").read_text())["numbers"]


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--only", default="scaling,traffic,memory,kills")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        torch.set_num_threads(1)
        distributed.start(timeout=TIMEOUT)
        options.output.write_text(json.dumps(PARTS[options.worker]()))
        dist.destroy_process_group()
        return
    content: dict[str, Any] = json.loads(options.output.read_text()) if options.output.exists() else {}
    for part in options.only.split(","):
        if part == "scaling":
            times = {ranks: results(part, ranks)[0] for ranks in (1, 2, 4)}
            found: Any = {
                ranks: {**entry, "efficiency": times[1]["seconds"] / (ranks * entry["seconds"])}
                for ranks, entry in times.items()
            }
        elif part == "traffic":
            found = {ranks: results(part, ranks)[0] for ranks in (2, 4)}
        elif part == "memory":
            peaks = {}
            for allocator, environment in ALLOCATORS.items():
                found = max(results(part, 4, **environment), key=lambda entry: entry["peak_mib"])
                peaks[allocator] = found.pop("peak_mib")
            found["peaks_mib"] = peaks
        else:
            found = kills(options.kills)
        content[part] = {
            **origin(packages=("numpy",)),
            "cores": os.cpu_count(),
            "found": found,
        }
        print(part, json.dumps(found, indent=1))
        save(options.output, content)


if __name__ == "__main__":
    main()
