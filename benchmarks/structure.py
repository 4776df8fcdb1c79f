"""Diagonals, traces of layers and norms of blocks: unbiased, with true errors, and against others at equal products.

    python benchmarks/structure.py [--seeds 300] [--only MATRIX ..]
    python benchmarks/structure.py --check-bias

takes an hour and a half on one core. Each estimate is made with many seeds: of matrices of known kinds, and of exact
Hessians of networks of up to 14,442 parameters. The table has reported errors over the spread of the seeds, the largest
bias in units of its standard error, and the error over that of others at equal products, both as roots of mean squares:
of a diagonal, curvlinops' ``xdiag``; of traces of layers, the mean of v * H v over each layer for v of ±1, as
PyHessian's users take it. ``--only`` measures these matrices alone, and keeps all other rows, which have dates of their
own. ``--check-bias`` measures the largest bias of a diagonal of a known kind again, with ten times as many other seeds.
The libraries come with ``pip install hessdens[peers,examples]``.
"""

import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import origin, parser_of, save
from peers_agreement import LOSS, problem, train
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.utils import parameters_to_vector

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from matrices import kinds, rotated

from hessdens._types import FloatArray
from hessdens.structure import block_norms, diagonal, layer_traces

SEEDS, PROBES = 300, 8
# Units of a layer of the network of 14,442 parameters, and columns of its Hessian at a time.
WIDTH, COLUMNS = 88, 200
# Products with small matrices.
FEW = (8, 12, 16)
# Further kinds that are measured at a larger size, too.
LARGER = ("slow decay", "long decay, both signs", "negative outliers")
NETWORKS = ("trained network", "new convolutions", "wide network")
# The largest bias is measured again with so many times as many other seeds.
MORE_SEEDS = 10
PEER = "curvlinops-for-pytorch"


@dataclass(frozen=True)
class Case:
    """A matrix, the layers whose traces are estimated, and products."""

    name: str
    matrix: FloatArray
    layers: dict[str, slice]
    products: int
    with_norms: bool = True

    @property
    def head(self) -> dict[str, Any]:
        """What its rows begin with."""
        return {"matrix": self.name, "size": len(self.matrix), "products": self.products}

    def sums(self, entries: FloatArray) -> FloatArray:
        """Return sums over layers, shape (.., L), of entries, shape (.., N)."""
        return np.stack([entries[..., place].sum(axis=-1) for place in self.layers.values()], axis=-1)


def cases(only: Collection[str] = ()) -> Iterator[Case]:
    """Yield all matrices, or those of some names; networks last."""
    for case in of_known_kinds():
        if not only or case.name in only:
            yield case
    for name, (matrix, layers) in networks(only or NETWORKS).items():
        yield Case(name, matrix, layers, 20)


def of_known_kinds() -> Iterator[Case]:
    """Yield all matrices that are no networks'."""
    for name, matrix in kinds(120).items():
        if name != "diagonal":  # which probes of ±1 know exactly
            yield of_kind(name, matrix, 20)
    for name, matrix in further_kinds(60).items():
        for products in FEW:
            yield of_kind(name, matrix, products, with_norms=products == FEW[0])
    larger = further_kinds(100)
    for name in LARGER:
        yield of_kind(name, larger[name], 24)


def of_kind(name: str, matrix: FloatArray, products: int, *, with_norms: bool = True) -> Case:
    """Return a case of two layers."""
    third = len(matrix) // 3
    return Case(name, matrix, {"first": slice(0, third), "second": slice(third, len(matrix))}, products, with_norms)


def further_kinds(size: int) -> dict[str, FloatArray]:
    """Return matrices whose decays, signs, ranks and rows differ from those of the tests."""
    rng = np.random.default_rng(11)
    orders = 1.0 + np.arange(size)
    signs = rng.choice([-1, 1], size)
    factor = rng.standard_normal((size, size // 4))
    heavy = rng.standard_cauchy((size, 5)).clip(-30, 30)
    outliers = np.concatenate([-np.geomspace(1, 20, 5), 0.1 * rng.standard_normal(size - 5)])
    beside = np.diag(orders[1:] / 2, 1)
    return {
        "slow decay": rotated(orders**-0.5, 2),
        "cubic decay": rotated(orders**-3.0, 3),
        "long decay, both signs": rotated(signs * np.exp(-orders / 10), 4),
        "two levels": rotated(np.where(orders <= 8, 1.0, 1e-3), 5),
        "a quarter of the rank": factor @ factor.T / size,
        "three diagonals": np.diag(orders[::-1]) + beside + beside.T,
        "heavy rows": (heavy * [5, 3, 1, -1, 0.2]) @ heavy.T + rotated(0.5 * rng.standard_normal(size), 6),
        "negative outliers": rotated(outliers, 7),
    }


def networks(names: Collection[str] = NETWORKS) -> dict[str, tuple[FloatArray, dict[str, slice]]]:
    """Return exact Hessians of networks on digits, trained and not, with their layers."""
    trained, [(inputs, targets)] = problem((600,))
    torch.manual_seed(0)
    fresh = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3, 2), nn.GELU(), nn.Flatten(), nn.Linear(36, 10))
    wide = nn.Sequential(nn.Linear(64, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, 10))
    if "wide network" in names:
        train(wide.double(), inputs, targets)
    found = {}
    for name, model in zip(NETWORKS, (trained, fresh.double(), wide), strict=True):
        if name not in names:
            continue
        matrix = hessian(model, inputs, targets)
        layers: dict[str, slice] = {}
        start = 0
        for layer, module in model.named_children():
            count = sum(p.numel() for p in module.parameters())
            if count:
                layers[layer] = slice(start, start + count)
            start += count
        found[name] = matrix, layers
    return found


def hessian(model: nn.Module, inputs: Tensor, targets: Tensor) -> FloatArray:
    """Return the exact Hessian, some columns at a time, by ``torch.func``."""
    values = {name: p.detach() for name, p in model.named_parameters()}
    point = parameters_to_vector(values.values())

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([value.numel() for value in values.values()])
        named = {name: part.view_as(value) for (name, value), part in zip(values.items(), parts, strict=True)}
        return LOSS(functional_call(model, named, (inputs,)), targets)

    def product(vector: Tensor) -> Tensor:
        return jvp(grad(loss), (point,), (vector,))[1]

    return vmap(product, chunk_size=COLUMNS)(torch.eye(len(point), dtype=point.dtype)).numpy()


def quality(estimates: FloatArray, reported: FloatArray, truth: FloatArray) -> dict[str, float]:
    """Return reported errors over the root mean squared error, and the largest z-score of the mean, over seeds."""
    errors = estimates - truth
    squared = float(np.mean(np.sum(errors**2, axis=1)))
    spread = errors.std(axis=0, ddof=1)
    scores = np.abs(errors.mean(axis=0)) / np.maximum(spread / len(errors) ** 0.5, 1e-12 * np.abs(truth).max())
    return {
        "reported_over_actual": float((np.mean(np.sum(reported**2, axis=1)) / squared) ** 0.5),
        "largest_z_score": float(scores.max()),
        "root_mean_square": squared**0.5,
    }


def measured(make: Callable[[int], Any], truth: FloatArray, seeds: Sequence[int]) -> dict[str, float]:
    """Return the quality of an estimator, which gives a result for a seed."""
    found = [make(seed) for seed in seeds]
    values, errors = (np.array([getattr(result, name) for result in found]) for name in ("values", "standard_errors"))
    return quality(values.reshape(len(seeds), -1), errors.reshape(len(seeds), -1), truth.reshape(-1))


def of_case(case: Case, seeds: int) -> dict[str, dict[str, float]]:
    """Return the quality of all estimators for one matrix, and errors over those of others."""
    matrix, truth, options = case.matrix, np.diag(case.matrix), {"max_products": case.products}
    entries = of_diagonal(case, range(seeds))
    entries["over_others"] = entries.pop("root_mean_square") / error_of_xdiag(case, seeds)
    layers = case.layers
    traces = measured(lambda s: layer_traces(matrix, layers, seed=s, **options), case.sums(truth), range(seeds))
    traces["over_others"] = traces.pop("root_mean_square") / error_of_plain_traces(case, seeds)
    found = {"diagonal": entries, "traces of layers": traces}
    if case.with_norms:
        squares = np.array([[np.sum(matrix[i, j] ** 2) for j in layers.values()] for i in layers.values()])
        norms = measured(lambda s: block_norms(matrix, layers, num_probes=PROBES, seed=s), squares, range(seeds))
        del norms["root_mean_square"]
        found["norms of blocks"] = norms
    return {estimate: {name: round(value, 2) for name, value in row.items()} for estimate, row in found.items()}


def of_diagonal(case: Case, seeds: Sequence[int]) -> dict[str, float]:
    """Return the quality of the diagonal."""
    truth = np.diag(case.matrix)
    return measured(lambda seed: diagonal(case.matrix, seed=seed, max_products=case.products), truth, seeds)


def largest_bias(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the diagonal of a known kind whose bias is largest in its errors, and that with many other seeds."""
    known = [(case, row) for case in of_known_kinds() for row in rows if row.items() >= case.head.items()]
    case, row = max(
        ((case, row) for case, row in known if row["estimate"] == "diagonal"),
        key=lambda pair: float(pair[1]["largest_z_score"]),
    )
    seeds = row["seeds"]
    others = range(seeds, seeds + MORE_SEEDS * seeds)
    again = round(of_diagonal(case, others)["largest_z_score"], 2)
    return {**case.head, "largest_z_score": row["largest_z_score"], "other_seeds": len(others), "again": again}


def error_of_xdiag(case: Case, seeds: int) -> float:
    """Return the root of the mean squared error of curvlinops' estimate of the diagonal."""
    from curvlinops import xdiag

    torch.manual_seed(0)
    A, truth = torch.from_numpy(case.matrix), torch.from_numpy(case.matrix).diagonal()
    squares = [float(((xdiag(A, case.products) - truth) ** 2).sum()) for _ in range(seeds)]
    return float(np.mean(squares) ** 0.5)


def error_of_plain_traces(case: Case, seeds: int) -> float:
    """Return the same of traces of layers, each the mean of v * A v over its entries and over all v of ±1."""
    rng = np.random.default_rng(0)
    V = rng.choice([-1.0, 1.0], (seeds, case.products, len(case.matrix)))
    errors = case.sums((V * (V @ case.matrix)).mean(axis=1)) - case.sums(np.diag(case.matrix))
    return float(np.mean(np.sum(errors**2, axis=1)) ** 0.5)


def rows_of(only: Collection[str], seeds: int, date: str) -> list[dict[str, Any]]:
    """Measure matrices, print a table, and return its rows."""
    rows = []
    print(f"{'matrix':24s} {'size':>6s} products {'estimate':18s} reported/actual largest z error/others")
    for case in cases(only):
        for estimate, row in of_case(case, seeds).items():
            rows.append({**case.head, "estimate": estimate, **row, "seeds": seeds, "date": date})
            ratio = f"{row['over_others']:12.2f}" if "over_others" in row else ""
            print(
                f"{case.name:24s} {len(case.matrix):6d} {case.products:8d} {estimate:18s} "
                f"{row['reported_over_actual']:15.2f} {row['largest_z_score']:9.2f} {ratio}",
                flush=True,
            )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all matrices, or check the largest bias, and write the numbers."""
    names = list(dict.fromkeys([*(case.name for case in of_known_kinds()), *NETWORKS]))
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", nargs="+", default=[], metavar="MATRIX", choices=names, help="keep other rows")
    parser.add_argument("--check-bias", action="store_true", help="the largest bias in the output, with more seeds")
    options = parser.parse_args(argv)
    is_whole = not options.only and not options.check_bias
    content = {} if is_whole else json.loads(options.output.read_text())
    if options.check_bias:
        content["largest_bias"] = largest_bias(content["rows"])
    else:
        facts = origin(packages=(PEER,))
        kept = [row for row in content.get("rows", []) if row["matrix"] not in options.only]
        rows = rows_of(options.only, options.seeds, facts["date"]) + kept
        rows.sort(key=lambda row: (names.index(row["matrix"]), row["size"], row["products"]))
        content = {**facts, "probes": PROBES, "seeds": options.seeds, "rows": rows}
    save(options.output, content)


if __name__ == "__main__":
    main()
