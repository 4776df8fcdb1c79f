"""Checks that several processes make together, run as ``python ranks.py CHECK NUM_RANKS FOLDER`` by `launch`.

The processes are forked from one that has imported everything, and each writes what it found to ``rank-R.json``.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # by fully_shard, as soon as it works: here once for all processes
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hessdens import (
    Plan,
    as_operator,
    distributed,
    eigenpairs,
    exact_spectrum,
    hessian_operator,
    lanczos_density,
    spectral_moments,
)
from hessdens.distributed.traffic import examples_traffic, probes_traffic, sharded_traffic
from hessdens.eigenvectors import loss_slice
from hessdens.estimators import certified_counts, chebyshev_moments, data_noise
from hessdens.multilevel import multilevel_layer_traces, multilevel_moments
from hessdens.results.counts import SIDES
from hessdens.structure import layer_moments, layer_traces

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from wire import bytes_on_the_wire

RANKS = 4
F64 = torch.float64
LENGTHS = (5, 3, 4, 6, 2, 5, 4)
LOSS = nn.functional.cross_entropy
# Without a plan, blocks are timed, which takes longer than these products.
PLAN = Plan("feedforward", 6, 8)


def launch(check, folder, **environment):
    """Run a check on all processes, and return how that ended."""
    for old in folder.glob("rank-*.json"):
        old.unlink()
    return subprocess.run(
        [sys.executable, "-W", "ignore", __file__, check, str(RANKS), folder],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def found_by_ranks(folder):
    """Return what each process of a launch found, None of those that have died."""
    paths = [folder / f"rank-{rank}.json" for rank in range(RANKS)]
    return [json.loads(path.read_text()) if path.exists() else None for path in paths]


def assert_close(found, expected, rtol):
    """Compare relative to the largest entry of each answer."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=rtol * scale, err_msg=name)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def batches(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, 5, dtype=F64, generator=generator), torch.randint(3, (n,), generator=generator))
        for n in LENGTHS
    ]


def answers(operator):
    """Return numbers from every estimator."""
    density = lanczos_density(operator, num_probes=2, num_steps=4)
    short = lanczos_density(operator, num_probes=2, num_steps=3, low_memory=True)
    moments = spectral_moments(operator, max_products=14)
    plain = {"method": "skilling", "num_probes": 3, "block_size": 2}
    pairs = eigenpairs(operator, 3, which="magnitude", rtol=1e-4, num_vectors=9)  # with restarts
    found = {
        "eigenpairs": pairs.values,
        "deflated": moments.values,
        "errors": moments.standard_errors,
        "rademacher": spectral_moments(operator, 2, distribution="rademacher", **plain).samples,
        "lanczos": [density.fraction_degenerate(), *density.moments(4), *density.cdf(np.linspace(-1, 2, 7))],
        "low memory": short.moments(4),
        "chebyshev": chebyshev_moments(operator, 4, num_probes=2, support=(-1, 2)).values,
    }
    if not operator.team.is_sharded:
        found["counts"] = counts(operator)
        found["eigenvectors"] = pairs.vectors**2
        found["gaussian"] = spectral_moments(operator, 2, **plain).samples
        found["support"] = list(chebyshev_moments(operator, 2, num_probes=2).support)
        found["exact"] = exact_spectrum(operator, block_size=33).eigenvalues
        traces = layer_traces(operator, rtol=0.4, atol=0.5, max_products=50)
        found["traces"] = [*traces.values, *traces.standard_errors, traces.num_products]
        found["layers"] = [m.values for m in layer_moments(operator, num_probes=4, block_size=6).values()]
    return {name: np.asarray(value).tolist() for name, value in found.items()}


def landscape(operator):
    """Return losses and gradients, of some examples too, and a slice that ends where the loss is not finite."""
    whole = torch.linspace(-1, 1, operator.size, dtype=F64)
    direction, other = (
        torch.cat([vector[rows] for rows in operator.team.rows(operator.size)])
        for vector in (whole, whole.flip(0) + 0.1)
    )
    curve = loss_slice(operator, operator.unflatten(direction), offsets=[-0.5, 0.25, 1.7e308])
    plane = loss_slice(operator, direction, other, offsets=[-0.3, 0.1])
    found = {
        "loss": operator.loss(),
        "losses": [*curve.losses[:2, 0], *plane.losses.ravel(), *curve.slopes, *curve.curvatures[0]],
        "not finite": np.isnan(curve.losses[:, 0]),
    }
    if not operator.team.is_sharded:
        found["gradient"] = operator.gradient()
        found["of one class"] = operator.gradient(lambda batch: batch[1] == 2)
    return {name: np.asarray(value).tolist() for name, value in found.items()}


def counts(operator):
    """Return counts from all vectors, and whether fewer products, which say the same on all ranks, agree with them."""
    exact, few = (certified_counts(operator, max_products=number) for number in (operator.size, 20))
    operator.team.check_same({"few": str(few.summary()), "products": few.num_products})
    ends = [(*getattr(exact, side), *getattr(few, side)) for side in SIDES]
    return [[fewest, most, low <= most and fewest <= high] for fewest, most, low, high in ends]


def caught(function):
    """Return kind and message of the error that a function raises."""
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def sharded(model, **options):
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, **options)
    return fully_shard(model, **options)


def check_results():
    """Examples, probes and both, on all ranks and on half of them."""
    grid = init_device_mesh("cpu", (2, dist.get_world_size() // 2), mesh_dim_names=("probes", "examples"))
    model, data = network(), batches()
    whole = hessian_operator(model, LOSS, data, plan=PLAN)
    mine = hessian_operator(model, LOSS, distributed.part(data), plan=PLAN)
    half = hessian_operator(model, LOSS, distributed.part(data, group=grid["examples"]), plan=PLAN)
    both = distributed.share_examples(half, group=grid["examples"])
    return {
        "examples": answers(distributed.share_examples(mine)),
        "probes": answers(distributed.share_probes(whole)),
        "examples of half": answers(both),
        "probes of half": answers(distributed.share_probes(whole, group=grid["probes"])),
        "both": answers(distributed.share_probes(both, group=grid["probes"])),
        "shifted": answers_of_shift(distributed.share_examples(mine)),
        "landscapes": {
            "examples": landscape(distributed.share_examples(mine)),
            "probes": landscape(distributed.share_probes(whole)),
            "both": landscape(distributed.share_probes(both, group=grid["probes"])),
        },
        "own examples": mine.total_weight,
        "levels": levels_of(distributed.share_examples(mine)),
    }


def levels_of(operator):
    """Return how many standard errors moments and the trace from levels are off, and their levels."""
    exact = exact_spectrum(operator).eigenvalues
    moments = multilevel_moments(operator, 2, num_examples=[9, 17], max_products=80)
    off = (moments.values - [np.mean(exact), np.mean(exact**2)]) / moments.standard_errors
    traces = multilevel_layer_traces(operator, {"all": "*"}, num_examples=[9, 17], max_products=80)
    off = [*off, (traces.values[0] - exact.sum()) / traces.standard_errors[0]]
    return {"off": list(off), "examples": moments.num_examples, "products": moments.num_products}


def answers_of_shift(operator):
    return spectral_moments(2 * operator - 0.5 * operator.identity(), num_probes=8).values.tolist()


def check_sharded():
    rank = dist.get_rank()
    model, data = network(), distributed.part(batches())
    fully_shard(model[0])
    fully_shard(model)  # keeps the last layer gathered after a forward pass
    before = [p.to_local().clone() for p in model.parameters()]
    kept = model[0].weight.grad = torch.ones_like(model[0].weight)
    with torch.no_grad():
        model(data[0][0])  # leaves gathered parameters behind
    operator = distributed.sharded_operator(model, LOSS, data)
    found = {"answers": answers(operator), "product error": operator.product_error, "rows": operator.num_rows}
    found["landscape"] = landscape(operator)
    found["zero"] = caught(lambda: loss_slice(operator, torch.zeros(operator.num_rows, dtype=F64)))
    broken = torch.full((operator.num_rows,), np.inf if rank == 2 else 1.0, dtype=F64)
    found["infinite direction"] = caught(lambda: loss_slice(operator, broken))
    found["restored"] = all(torch.equal(p.to_local(), old) for p, old in zip(model.parameters(), before, strict=True))
    found["gradients"] = [p.grad is not None for p in model.parameters()]
    found["same gradient"] = model[0].weight.grad is kept
    found["weight"], found["steps"] = operator.total_weight, operator.num_steps
    found["resumed"] = resumed(operator)
    found["order"] = checksums_of_order()
    found["certified"] = counts(operator)
    one = [(x[:1], y[:1]) for x, y in data]
    found["sum of one"] = caught(lambda: distributed.sharded_operator(model, LOSSES["sum"], one))
    detached = distributed.sharded_operator(model, LOSSES["detached"], data)
    found["detached parts"] = caught(lambda: detached.matmat(torch.ones(operator.num_rows, 1, dtype=F64)))
    found["exact"] = caught(lambda: exact_spectrum(operator))
    found["layers"] = caught(lambda: layer_moments(operator))
    found["scipy"] = caught(operator.to_scipy)
    found["probes"] = caught(lambda: distributed.share_probes(operator))
    found["seeds"] = caught(lambda: spectral_moments(operator, seed=rank // 2))
    found["equal data"] = caught(lambda: distributed.sharded_operator(model, LOSS, batches()))
    found["loss that knows the model"] = caught(
        lambda: distributed.sharded_operator(
            model, lambda outputs, targets: LOSS(outputs, targets, model and None), data
        )
    )
    found["plain"] = caught(lambda: distributed.sharded_operator(network(), LOSS, data))
    found["pointer"] = caught(lambda: hessian_operator(model, LOSS, data))
    for name, loss in LOSSES.items():
        found[name] = caught(lambda loss=loss: distributed.sharded_operator(model, loss, data))
    half, grid = network().bfloat16(), init_device_mesh("cpu", (2, 2), mesh_dim_names=("copies", "shards"))
    found["half"] = caught(lambda: distributed.sharded_operator(sharded(half), LOSS, data))
    found["grid"] = caught(lambda: distributed.sharded_operator(sharded(network(), mesh=grid), LOSS, data))
    columns = torch.ones(operator.num_rows, 1 + (rank == 1), dtype=F64)
    found["counts"] = caught(lambda: operator.matmat(columns))
    found["weights"] = caught(lambda: distributed.sharded_operator(model, LOSS, data, num_examples=lambda _: 0))
    found["empty"] = caught(lambda: distributed.sharded_operator(model, LOSS, data if rank != 2 else []))
    return found


def checksums_of_order():
    """Return whether checksums see two layers of one shape, and inputs and targets, in another order."""
    x, y = torch.randn(2, 6, 4, dtype=F64, generator=torch.Generator().manual_seed(dist.get_rank()))
    weights = torch.randn(2, 4, 4, dtype=F64, generator=torch.Generator().manual_seed(7))

    def origin(order, pair):
        model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)).double()
        with torch.no_grad():
            for layer, weight in zip(model, weights[order], strict=True):
                layer.weight.copy_(weight)
        return distributed.sharded_operator(sharded(model), nn.functional.mse_loss, [pair]).origin()

    plain, swapped = origin([0, 1], (x, y)), origin([1, 0], (y, x))
    return [plain[name] != swapped[name] for name in ("parameters", "data")]


def resumed(operator):
    """Return whether a run is found again, also where one process has lost its part, and folders."""
    folder, options = FOLDER / "sharded", {"method": "skilling", "num_probes": 2}
    first = spectral_moments(operator, 2, checkpoint=folder, **options).samples
    if dist.get_rank() == 2:
        next((folder / "rank-2-of-4").glob("probes-0-2.npz")).unlink()
    second = spectral_moments(operator, 2, checkpoint=folder, **options).samples
    return np.array_equal(first, second), sorted(path.name for path in folder.iterdir())


LOSSES = {
    "sum": lambda outputs, targets: LOSS(outputs, targets, reduction="sum"),
    "scalar": lambda outputs, targets: LOSS(outputs, targets, reduction="none"),
    "random": lambda outputs, targets: LOSS(outputs, targets) * torch.rand(()),
    "constant": lambda outputs, targets: LOSS(outputs.detach(), targets),
    "detached": lambda outputs, targets: LOSS(outputs, targets) + 10 * (outputs * outputs.detach()).mean(),
    "infinite": lambda outputs, targets: LOSS(outputs, targets) / 0,
    "no function": 3,
}


def check_errors():
    """What processes that do not fit together are told."""
    rank, data = dist.get_rank(), batches()
    grid = init_device_mesh("cpu", (2, 2), mesh_dim_names=("probes", "examples"))
    mine, model = distributed.part(data), network()
    share, probes = distributed.share_examples, distributed.share_probes

    def of(model, data, loss=LOSS, **options):
        return hessian_operator(model, loss, data, **options)

    whole, shared = probes(of(model, data)), share(of(model, mine))
    columns = torch.ones(whole.size, 2 + (rank == 1), dtype=F64)
    found = {
        "models": caught(lambda: share(of(network(int(rank == 3)), mine))),
        "losses": caught(lambda: share(of(model, mine, LOSS if rank else nn.functional.multi_margin_loss))),
        "equal data": caught(lambda: share(of(model, data[rank % 2 : rank % 2 + 2]))),
        "allowed": caught(lambda: share(of(model, data), allow_equal_data=True)),
        "other data": caught(lambda: probes(of(model, data[: 3 if rank == 2 else 4]))),
        "matrices": caught(lambda: probes(torch.eye(3, dtype=F64) * (2 if rank == 0 else 1))),
        "seeds": caught(lambda: spectral_moments(shared, seed=int(rank == 0))),
        "max_products": caught(lambda: lanczos_density(shared, max_products=40 if rank else 80)),
        "too few": caught(lambda: spectral_moments(shared, max_products=50 if rank else 1)),
        "num_probes": caught(lambda: chebyshev_moments(shared, num_probes=2 + (rank == 3))),
        "support": caught(lambda: chebyshev_moments(shared, support=(-1, 2 + (rank == 3)))),
        "max_size": caught(lambda: exact_spectrum(shared, max_size=20 + rank // 2)),
        "layers": caught(lambda: layer_moments(shared, layers={"all": ["*"]} if rank else None)),
        "checkpoint": caught(lambda: lanczos_density(shared, checkpoint=FOLDER / "one" if rank == 1 else None)),
        "checkpoints": caught(lambda: lanczos_density(shared, checkpoint=FOLDER / f"of-{rank}").num_steps),
        "functions": caught(lambda: lanczos_density(shared) if rank == 2 else exact_spectrum(shared)),
        "rtol": caught(lambda: spectral_moments(shared, rtol=0.1 if rank else 0.1 + 2**-56)),
        "operators": caught(lambda: data_noise([shared] * (2 + (rank == 1)))),
        "items": caught(lambda: distributed.part(data[: len(data) - (rank == 1)])),
        "allow": caught(lambda: share(of(model, mine), allow_equal_data=rank == 1)),
        "kind of operator": caught(lambda: share(of(model, mine) if rank else as_operator(torch.eye(3, dtype=F64)))),
        "functions of vectors": caught(lambda: probes(as_operator(lambda V: V * (1.0 + (rank == 0)), size=3))),
        "lopsided": caught(lambda: probes(torch.ones(3, 3, dtype=F64).triu() if rank == 1 else torch.eye(3))),
        "dtypes": caught(lambda: probes(torch.eye(3, dtype=F64 if rank else torch.float32))),
        "settings": caught(lambda: share(of(model, mine, nn.CrossEntropyLoss(label_smoothing=0.1 * (rank == 2))))),
        "no loss": caught(lambda: probes(torch.eye(3, dtype=F64)).loss()),
        "no slice": caught(lambda: loss_slice(probes(torch.eye(3, dtype=F64)), torch.ones(3, dtype=F64))),
        "no examples": caught(lambda: shared.gradient(lambda batch: batch[1] == 7)),
        "choice": caught(lambda: shared.gradient(lambda batch: batch[1][rank == 1 :] == 1)),
        "vectors": caught(lambda: whole.matmat(torch.full((whole.size, 2), 1.0 + (rank > 1), dtype=F64))),
        "counts": caught(lambda: shared.matmat(columns)),
        "part": caught(lambda: distributed.part(data[:3])),
        "kind of data": caught(lambda: distributed.part({1, 2})),
        "no weights": caught(lambda: share(as_operator(torch.eye(3, dtype=F64)))),
        "grid": caught(lambda: share(of(model, mine), group=grid)),
        "timeout": caught(lambda: distributed.start(timeout=0)),
    }
    changing = share(of(model, Changing(mine, 4) if rank == 1 else mine))
    changing.matvec(columns[:, 0])
    found["failure"] = caught(lambda: changing.matvec(columns[:, 0]))
    half = distributed.part(data, group=grid["examples"])
    changing = share(of(model, Changing(half, 4) if rank == 1 else half), group=grid["examples"])
    changing = probes(changing, group=grid["probes"])
    found["failure in a grid"] = caught(lambda: changing.matmat(columns[:, :2]))
    if rank == 2:
        with torch.no_grad():
            model[0].bias[1] += 1e-3
    found["drift"] = caught(lambda: shared.matvec(columns[:, 0]))
    return found


class Changing(list):
    """Batches that are others after some passes."""

    def __init__(self, data, passes):
        super().__init__(data)
        self.left = passes

    def __iter__(self):
        self.left -= 1
        return super().__iter__() if self.left >= 0 else iter([(x + 1, y) for x, y in self[:]])


class Spy(TorchDispatchMode):
    """Collective operations: kind, and bytes that this process gives."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "c10d":
            name = func._schema.name.removeprefix("c10d::")
            given = args[0] if name == "allreduce_" else args[1]
            size = sum(t.numel() * t.element_size() for t in tree_leaves(given) if isinstance(t, torch.Tensor))
            kind = next(word for mark, word in KINDS.items() if mark in name)
            self.seen.append((kind, size))
        return func(*args, **(kwargs or {}))


KINDS = {"allreduce": "all-reduce", "allgather": "all-gather", "reduce_scatter": "reduce-scatter"}


def watched(function):
    """Return collective operations, counted, and bytes on the wire."""
    dist.barrier()
    before, spy = bytes_on_the_wire(), Spy()
    with spy:
        function()
    dist.barrier()
    return {"seen": Counter(map(repr, spy.seen)), "wire": bytes_on_the_wire() - before}


def planned(traffic):
    counts = Counter()
    for kind, size, count in traffic.collectives:
        counts[repr((kind, size))] += count
    return {"seen": counts, "wire": on_gloo(traffic).bytes_sent}


def on_gloo(traffic):
    """Return the same traffic by gloo, which makes an all-reduce of a reduce-scatter: twice the bytes."""
    kinds = {"reduce-scatter": "all-reduce"}
    return replace(traffic, collectives=tuple((kinds.get(kind, kind), *rest) for kind, *rest in traffic.collectives))


def check_traffic():
    """What is sent, and what was planned."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 900), nn.Tanh(), nn.Linear(900, 60), nn.Tanh(), nn.Linear(60, 3)).double()
    data, ranks = batches(), dist.get_world_size()
    part = distributed.part(data)
    examples = distributed.share_examples(hessian_operator(model, LOSS, part))
    probes = distributed.share_probes(hessian_operator(model, LOSS, data))
    V = torch.ones(examples.size, 6, dtype=F64)
    found = {
        "examples": [
            planned(examples_traffic(len(V), 6, ranks, dtype=F64)),
            watched(lambda: examples.matmat(V)),
        ],
        "probes": [
            planned(probes_traffic(len(V), 6, ranks, dtype=F64)),
            watched(lambda: probes.matmat(V)),
        ],
    }
    operator = distributed.sharded_operator(sharded(model), LOSS, part)
    steps, V = operator.num_steps, torch.ones(operator.num_rows, 2, dtype=F64)
    plan = sharded_traffic(operator.shard_sizes, 2, ranks, num_batches=steps, dtype=F64)
    return {**found, "sharded": [planned(plan), watched(lambda: operator.matmat(V))]}


def check_data_parallel():
    """Products of a model in DistributedDataParallel, whose hooks must not run."""
    plain, part = network(), distributed.part(batches())
    wrapped = nn.parallel.DistributedDataParallel(network())
    wrapped.register_comm_hook(None, refuse)
    operator = hessian_operator(wrapped, LOSS, part, plan=PLAN)
    V = torch.ones(operator.size, 2, dtype=F64)
    shared = distributed.share_examples(operator)
    return {
        "names": operator.parameter_names,
        "same": torch.equal(operator.matmat(V), hessian_operator(plain, LOSS, part, plan=PLAN).matmat(V)),
        "hook": caught(lambda: LOSS(wrapped(part[0][0]), part[0][1]).backward()),
        "shared": shared.matvec(V[:, 0]).tolist(),
    }


def refuse(state, bucket):
    raise ValueError("a hook ran")


class Fatal(list):
    """Batches; a signal comes to this process when the N-th pass begins."""

    def __init__(self, data, number, signal):
        super().__init__(data)
        self.left, self.signal = number, signal

    def __iter__(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.signal)
        return super().__iter__()


def long_run(data, folder):
    operator = distributed.share_examples(hessian_operator(network(), LOSS, data, plan=PLAN))
    moments = spectral_moments(operator, num_probes=12, method="skilling", block_size=2, checkpoint=folder)
    density = lanczos_density(operator, num_probes=2, num_steps=6, checkpoint=folder and folder / "density")
    return [moments.samples.tolist(), density.quadrature.eigenvalues.tolist(), density.quadrature.weights.tolist()]


def interrupted(victim, passes, signal):
    data = distributed.part(batches())
    if dist.get_rank() == victim:
        data = Fatal(data, passes, signal)
    start = time.monotonic()
    error = caught(lambda: long_run(data, FOLDER / "kept"))
    return {"error": error, "seconds": time.monotonic() - start}


def check_killed():
    return interrupted(int(os.environ["VICTIM"]), int(os.environ["PASSES"]), signal.SIGKILL)


def check_hung():
    return interrupted(int(os.environ["VICTIM"]), int(os.environ["PASSES"]), signal.SIGSTOP)


def check_resumed():
    data = distributed.part(batches())
    return {"resumed": long_run(data, FOLDER / "kept"), "fresh": long_run(data, None)}


def check_together():
    """All checks but those of processes that die."""
    checks = (check_results, check_sharded, check_errors, check_traffic, check_data_parallel)
    return {check.__name__.removeprefix("check_"): check() for check in checks}


CHECKS = {name.removeprefix("check_"): value for name, value in globals().items() if name.startswith("check_")}


def run(check, rank, num_ranks, port):
    """Make one check as one of several processes; never returns."""
    status = 1
    try:
        os.environ.update(
            RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(num_ranks), MASTER_ADDR="127.0.0.1", MASTER_PORT=port
        )
        torch.set_num_threads(1)
        distributed.start(timeout=float(os.environ.get("TIMEOUT", "60")))
        (FOLDER / f"rank-{rank}.json").write_text(json.dumps(CHECKS[check]()))
        if check not in ("killed", "hung"):
            dist.destroy_process_group()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def main():
    port = free_port()
    children = {}
    for rank in range(int(sys.argv[2])):
        child = os.fork()
        if child == 0:
            run(sys.argv[1], rank, int(sys.argv[2]), port)
        children[child] = rank
    failed = []
    while children:
        child, status = os.waitpid(-1, 0)
        rank = children.pop(child)
        if status:
            failed.append(rank)
        if list(children.values()) == [int(os.environ.get("VICTIM", "-1"))]:
            os.kill(next(iter(children)), signal.SIGKILL)  # it may hang
    sys.exit(len(failed))


FOLDER = Path(sys.argv[3]) if __name__ == "__main__" else Path()

if __name__ == "__main__":
    main()
