"""Hessian-vector products: hessdens against curvlinops, hessian-eigenthings, PyHessian and plain torch.func.

    python benchmarks/hvp.py [--models 20x128 10x16 ..] [--device cuda]

Each contender runs in a process of its own, is tried at several batch sizes, and counts with its best. The same
parameters, data and vectors for all; attention runs on the math kernel, which all of them need. Columns: microseconds
per example and probe, ratio to one gradient, to hessdens; peak memory beyond model, data and vectors; relative error
against float64 products on a few examples. Where hessdens takes more memory than the fastest peer, it is measured again
within that peer's. Results of other models on the same machine are kept. Peers come with
``pip install hessdens[peers,examples]``.
"""

import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from hvp_models import CASES, Case
from measuring import PEERS, origin, parser_of, save, timed
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from hessdens import hessian_operator
from hessdens.curvature.planning.memory_model import peak_memory

DEFAULT = ("20x128", "20x128 hyper-residual", "10x16", "ResNet-18", "transformer")
WARM_UPS, REPEATS = 1, 3
LOSS = nn.CrossEntropyLoss()
Batches = list[tuple[Tensor, Tensor]]
Product = Callable[[], Tensor]


class hessdens:  # noqa: N801 (named as it is in the table)
    """The plan is the library's choice, within ``memory_limit``."""

    memory_limit: int | None = None

    def __init__(self, model: nn.Module, batches: Batches, V: Tensor) -> None:
        self.operator = hessian_operator(model, LOSS, batches, memory_limit=self.memory_limit)
        self._vectors = V

    def settle(self) -> None:
        """Let the library measure which plan is fastest, as peers have had their batch size, and warm up."""
        self.operator.settle(self._vectors.shape[1])
        self()

    def __call__(self) -> Tensor:  # noqa: D102
        return self.operator @ self._vectors


def curvlinops(model: nn.Module, batches: Batches, V: Tensor) -> Product:
    from curvlinops import HessianLinearOperator

    # None of the peers looks at the data again in each product, nor do we count its check.
    operator = HessianLinearOperator(model, LOSS, list(model.parameters()), batches, check_deterministic=False)
    return lambda: operator @ V


def hessian_eigenthings(model: nn.Module, batches: Batches, V: Tensor) -> Product:
    from hessian_eigenthings.loss_fns import supervised_loss
    from hessian_eigenthings.operators.hessian import HessianOperator

    operator = HessianOperator(model, batches, supervised_loss(LOSS))
    return lambda: torch.stack([operator.matvec(v) for v in V.T], dim=1)


def pyhessian(model: nn.Module, batches: Batches, V: Tensor) -> Product:
    from pyhessian import hessian

    for inputs, targets in batches[:1]:  # it reads which parameters have gradients
        LOSS(model(inputs), targets).backward()
    operator = hessian(model, LOSS, dataloader=batches, cuda=V.is_cuda)

    def product(v: Tensor) -> Tensor:
        pieces = v.split([p.numel() for p in operator.params])
        tangents = [piece.view_as(p) for piece, p in zip(pieces, operator.params, strict=True)]
        return torch.cat([part.flatten() for part in operator.dataloader_hv_product(tangents)[1]])

    return lambda: torch.stack([product(v) for v in V.T], dim=1)


def torch_func(model: nn.Module, batches: Batches, V: Tensor) -> Product:
    """Return what one writes by hand: vmap of jvp of grad."""
    values = {name: p.detach() for name, p in model.named_parameters()}
    sizes = [value.numel() for value in values.values()]

    def hvp(inputs: Tensor, targets: Tensor, v: Tensor) -> Tensor:
        pieces = zip(values.items(), v.split(sizes), strict=True)
        tangent = {name: piece.view_as(value) for (name, value), piece in pieces}
        gradient = grad(lambda values: LOSS(functional_call(model, values, (inputs,)), targets))
        return torch.cat([part.flatten() for part in jvp(gradient, (values,), (tangent,))[1].values()])

    total = sum(len(inputs) for inputs, _ in batches)

    def product() -> Tensor:
        parts = [len(x) / total * vmap(hvp, in_dims=(None, None, 1), out_dims=1)(x, y, V) for x, y in batches]
        return torch.stack(parts).sum(dim=0)

    return product


CONTENDERS: dict[str, Any] = {
    "hessdens": hessdens,
    "curvlinops": curvlinops,
    "hessian-eigenthings": hessian_eigenthings,
    "PyHessian": pyhessian,
    "torch.func": torch_func,
}


def one(name: str, contender: str, device: str) -> dict[str, Any]:
    """Measure one contender on one model, in this process."""
    case = CASES[name]()
    model = case.model.to(device)
    inputs, targets = case.inputs.to(device), case.targets.to(device)
    size = sum(p.numel() for p in model.parameters())
    V = torch.randn(size, case.num_probes, generator=torch.Generator().manual_seed(0)).to(device)
    build = CONTENDERS[contender]

    def make(batch_size: int, count: int) -> Product:
        parts = zip(inputs[:count].split(batch_size), targets[:count].split(batch_size), strict=True)
        product: Product = build(model, list(parts), V)
        return product

    sizes = (len(inputs),) if contender == "hessdens" else case.batch_sizes
    pilot = min(len(inputs), max(case.batch_sizes))
    batch_size = (
        min(sizes, key=lambda size: _seconds(make(size, pilot), device, repeats=1)) if len(sizes) > 1 else sizes[0]
    )
    product = make(batch_size, len(inputs))
    if isinstance(product, hessdens):
        product.settle()
    best: dict[str, Any] = {"seconds": _seconds(product, device), "batch_size": batch_size}
    best["peak_mib"] = _peak(product, device) / 2**20
    gradient = _seconds(lambda: _gradient(model, inputs, targets, case.batch_sizes[0]), device)
    best["microseconds"] = 1e6 * best["seconds"] / (len(inputs) * case.num_probes)
    best["gradients"] = best["seconds"] / case.num_probes / gradient
    few = max(1, min(8, len(inputs)))
    batches = [(inputs[:few], targets[:few])]
    reference = _reference(model, batches, V[:, :1])
    best["error"] = float((build(model, batches, V[:, :1])().double() - reference).norm() / reference.norm())
    if isinstance(product, hessdens):
        best["plan"] = dataclasses.asdict(product.operator.plan)
    best |= {"parameters": size, "examples": len(inputs), "probes": case.num_probes, "data": case.data}
    return best


def _gradient(model: nn.Module, inputs: Tensor, targets: Tensor, batch_size: int) -> None:
    for x, y in zip(inputs.split(batch_size), targets.split(batch_size), strict=True):
        torch.autograd.grad(LOSS(model(x), y), list(model.parameters()))


def _reference(model: nn.Module, batches: Batches, V: Tensor) -> Tensor:
    """Return the product in float64, by a second backward pass."""
    dtype = next(model.parameters()).dtype
    model.double()
    inputs, targets = batches[0]
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    gradients = torch.autograd.grad(LOSS(model(inputs), targets), list(model.parameters()), create_graph=True)
    flat = torch.cat([entry.flatten() for entry in gradients])
    products = torch.autograd.grad(flat @ V[:, 0].double(), list(model.parameters()))
    model.to(dtype)
    return torch.cat([entry.flatten() for entry in products])[:, None]


def _seconds(function: Callable[[], Any], device: str, repeats: int = REPEATS) -> float:
    for _ in range(WARM_UPS):
        function()
    return statistics.median(timed(function, device=device)[1] for _ in range(repeats))


def _peak(function: Callable[[], Any], device: str) -> int:
    """Return the most bytes of tensors that a product makes beyond what there is before it."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        function()
        return torch.cuda.max_memory_allocated() - before
    return peak_memory(function)


def matrix_product_rate(device: str) -> float:
    """Return the median rate of a large float32 matrix product in floating-point operations a second."""
    a, b = torch.randn(2048, 2048, device=device), torch.randn(2048, 2048, device=device)
    return statistics.median(2 * 2048**3 / _seconds(lambda: a @ b, device) for _ in range(9))


def least_operations(case: Case) -> int | None:
    """Return the fewest operations an example and probe in a plain network: 6 a hidden weight, 2 an input weight."""
    weights = [p for p in case.model.parameters() if p.ndim == 2]
    if getattr(case.model, "architecture", None) != "plain":
        return None
    first, *others = (weight.numel() for weight in weights)
    return 2 * (2 * first + 6 * sum(others))


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--models", nargs="+", default=DEFAULT, choices=CASES)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "CONTENDER"), help="measure one here and print JSON")
    parser.add_argument("--memory-limit", type=int, help="of hessdens, in bytes, with --one")
    options = parser.parse_args()
    hessdens.memory_limit = options.memory_limit
    if options.one:
        with sdpa_kernel(SDPBackend.MATH):
            print(json.dumps(one(*options.one, options.device)))
        return
    rate = matrix_product_rate(options.device)
    content = origin(options.device, PEERS)
    day = content.pop("date")
    before = json.loads(options.output.read_text()) if options.output.is_file() else {}
    table = before.get("models", {}) if content == {key: before.get(key) for key in content} else {}
    for model in options.models:
        rows = {name: _in_process(model, name, options.device) for name in options.contenders}
        peers = {k: r for k, r in rows.items() if k not in ("hessdens", "torch.func") and "microseconds" in r}
        best = min(peers.values(), key=lambda row: row["microseconds"], default=None)
        own = rows.get("hessdens", {})
        if best is not None and own.get("peak_mib", 0) > best["peak_mib"]:
            # Beside the blocks, a product takes the vectors in its own order and the result.
            limit = int(best["peak_mib"] * 2**20) - 3 * 4 * own["parameters"] * own["probes"]
            rows["hessdens, less memory"] = _in_process(model, "hessdens", options.device, limit)
        table[model] = {"date": day, "gigaflops": rate / 1e9, "contenders": rows}
        _print(model, rows, peers)
        operations = least_operations(CASES[model]())
        if operations is not None:
            table[model]["limit_microseconds"] = 1e6 * operations / rate
            share = 1e6 * operations / rate / rows["hessdens"]["microseconds"]
            print(f"arithmetic limit {1e6 * operations / rate:.2f} microseconds; hessdens reaches {share:.0%}")
        save(options.output, content | {"models": table})


def _in_process(model: str, contender: str, device: str, memory_limit: int | None = None) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", model, contender, "--device", device]
    command += [] if memory_limit is None else ["--memory-limit", str(memory_limit)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        return {"failed": (run.stderr.strip().splitlines() or ["killed"])[-1]}
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


def _print(model: str, rows: dict[str, Any], peers: dict[str, Any]) -> None:
    heads = f"{'µs/example/probe':>17s} {'gradients':>10s} {'peak MiB':>9s} {'error':>8s} {'batch':>6s}"
    print(f"\n{model}\n{'contender':22s} {heads}", flush=True)
    for name, row in rows.items():
        if "failed" in row:
            print(f"{name:22s} {row['failed']}")
            continue
        print(
            f"{name:22s} {row['microseconds']:17.2f} {row['gradients']:10.2f} {row['peak_mib']:9.0f} "
            f"{row['error']:8.1e} {row['batch_size']:6d}"
        )
    if peers and "microseconds" in rows.get("hessdens", {}):
        best = min(peers, key=lambda name: peers[name]["microseconds"])
        ratio = peers[best]["microseconds"] / rows["hessdens"]["microseconds"]
        print(f"best peer {best}: {ratio:.2f} times hessdens' time; plan {rows['hessdens']['plan']}", flush=True)


if __name__ == "__main__":
    main()
