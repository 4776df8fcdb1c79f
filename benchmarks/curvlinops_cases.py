"""Agreement with curvlinops on the cases of its own tests: its models, losses, targets and batches, in float64.

    git clone --branch 3.0.1 https://github.com/f-dangel/curvlinops
    python benchmarks/curvlinops_cases.py --cases curvlinops

The checkout is of the version that is installed, and needs pytest; nothing of it is kept here. Hessian, Gauss-Newton,
exact and empirical Fisher matrices are compared with those of ``HessianLinearOperator``, ``GGNLinearOperator`` (twice)
and ``EFLinearOperator``, up to the factors that ``docs/start/coming_from.md`` names: for the data as they are, as one
batch and as one example a batch; for all parameters, without weights or without biases, and for the diagonal blocks
of two halves, as in its tests. Products are made as the library decides for the data as they are, else from blocks of
three examples. Data and models that are random must be refused by both.
"""

import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from measuring import origin, parser_of, save
from torch import Tensor, nn

from hessdens import Plan, fisher_operator, ggn_operator, hessian_operator

OWN = {
    "Hessian": hessian_operator,
    "Gauss-Newton": ggn_operator,
    "exact Fisher": fisher_operator,
    "empirical Fisher": lambda *arguments, **options: fisher_operator(*arguments, kind="empirical", **options),
}
THEIRS = {
    "Hessian": "HessianLinearOperator",
    "Gauss-Newton": "GGNLinearOperator",
    "exact Fisher": "GGNLinearOperator",
    "empirical Fisher": "EFLinearOperator",
}
LISTS = (
    "CASES", "CNN_CASES", "KFAC_EXACT_CASES", "KFAC_WEIGHT_SHARING_EXACT_CASES", "KFAC_EXACT_ONE_DATUM_CASES",
    "SINGLE_LAYER_CASES", "SINGLE_LAYER_WEIGHT_SHARING_CASES",
)  # fmt: skip
SETTINGS = {"expand": "expand", "expand-flatten": "expand", "reduce": "reduce"}  # of shared weights, and their data
TOLERANCE = 1e-12
BLOCKS = Plan("reverse-over-reverse", examples_per_block=3, probes_per_block=100)
LARGEST_DENSE = 500  # parameters up to which whole matrices are compared, and not products with random vectors
Batches = list[tuple[Any, Tensor]]


@dataclass(frozen=True)
class Given:
    """A case: what both libraries are given."""

    name: str
    model: nn.Module
    loss: Any
    batches: Batches
    batching: str = "as they are"
    selection: str = "all"

    @property
    def is_original(self) -> bool:
        """Whether this is the case as it is in its tests."""
        return (self.batching, self.selection) == ("as they are", "all")

    @property
    def blocks(self) -> list[list[str]]:
        """The parameters of each diagonal block."""
        names = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        if self.selection == "two blocks":
            return [names[: len(names) // 2], names[len(names) // 2 :]]
        left_out = {"without weights": "weight", "without biases": "bias"}.get(self.selection)
        return [[name for name in names if left_out is None or left_out not in name]]


def cases(path: Path) -> Iterator[Given]:
    """Yield the cases of the tests in a checkout of curvlinops, on the CPU."""
    sys.path.insert(0, str(path.resolve()))
    from test import cases as general
    from test import kfac_cases as kronecker

    for name in LISTS:
        listed = getattr(general, name, None) or getattr(kronecker, name)
        for index, case in enumerate(case for case in listed if case["device"].type == "cpu"):
            for setting in SETTINGS if "SHARING" in name else (None,):
                yield made(f"{name}[{index}]" + (f", {setting}" if setting else ""), case, setting)


def random_cases() -> dict[str, Any]:
    """Return its cases of random models and data."""
    from test.cases import NON_DETERMINISTIC_CASES

    names = ("dropout", "batch normalisation of shuffled data", "shuffled data without the last batch")
    return dict(zip(names, (case for case in NON_DETERMINISTIC_CASES if case["device"].type == "cpu"), strict=True))


def made(name: str, case: Mapping[str, Any], setting: str | None) -> Given:
    """Return model, loss and batches of a case."""
    torch.manual_seed(case["seed"])
    model, loss, data = case["model_func"](), case["loss_func"](), case["data"]()
    if setting:
        model.setting = setting
        data = next(batches for key, batches in data.items() if str(getattr(key, "value", key)) == SETTINGS[setting])
        if setting == "expand-flatten":
            data = [(x, y.flatten(start_dim=1)) for x, y in data]
    return Given(name, model.double(), loss, [(wide(x), wide(y)) for x, y in data])


def wide(x: Any) -> Any:
    """Return inputs or targets in float64, labels as they are."""
    if isinstance(x, Tensor):
        return x.double() if x.is_floating_point() else x
    return type(x)({key: wide(value) for key, value in x.items()})


def variants(given: Given) -> Iterator[Given]:
    """Yield the case with other batches and other parameters."""
    yield given
    xs, ys = zip(*given.batches, strict=True)
    if not isinstance(xs[0], Tensor):
        xs = tuple(x["x"] for x in xs)
        whole: Batches = [({"x": torch.cat(xs)}, torch.cat(ys))]
        single: Batches = [({"x": x}, y) for x, y in pieces(xs, ys)]
    else:
        whole, single = [(torch.cat(xs), torch.cat(ys))], pieces(xs, ys)
    yield replace(given, batches=whole, batching="one batch")
    yield replace(given, batches=single, batching="one example each")
    for selection in ("without weights", "without biases", "two blocks"):
        selected = replace(given, selection=selection)
        if all(selected.blocks):
            yield selected


def pieces(xs: tuple[Tensor, ...], ys: tuple[Tensor, ...]) -> Batches:
    """Return batches of one example."""
    return list(zip(torch.cat(xs).split(1), torch.cat(ys).split(1), strict=True))


def check(given: Given, matrix: str) -> dict[str, Any]:
    """Return how far both matrices are apart, and by which documented difference they were brought together."""
    how, own, factor = [], given, 1.0
    options: dict[str, Any] = {"plan": Plan() if given.is_original else BLOCKS}
    if given.loss.reduction == "sum":
        refused(lambda: OWN[matrix](given.model, given.loss, given.batches, **options), "must return the mean")
        own, factor = replace(given, loss=type(given.loss)()), sum(y.numel() for _, y in given.batches)
        how += ["sum"]
    shape = given.batches[0][1].shape
    if matrix == "empirical Fisher" and not isinstance(given.loss, nn.CrossEntropyLoss):
        factor *= shape[-1]
        how += ["entries"] if shape[-1] > 1 else []
        if len(shape) > 2:
            options |= {
                "forward": lambda model, batch: (model(batch[0]).flatten(end_dim=-2), batch[1].flatten(end_dim=-2)),
                "num_examples": lambda batch: batch[1].shape[:-1].numel(),
            }
            how += ["rows"]
    ours, theirs = [], []
    for block in given.blocks:
        operator = OWN[matrix](own.model, own.loss, own.batches, parameters=block, **options)
        vectors = probes(operator.size)
        ours.append((factor * (operator @ vectors)).flatten())
        theirs.append((of_curvlinops(given, matrix, block) @ vectors).flatten())
    wrong, right = torch.cat(ours) - torch.cat(theirs), torch.cat(theirs)
    return {"difference": float(wrong.abs().max() / right.abs().max()), "how": how}


def of_curvlinops(given: Given, matrix: str, names: list[str]) -> Any:
    """Return the operator of curvlinops for these parameters."""
    import curvlinops

    return getattr(curvlinops, THEIRS[matrix])(
        given.model,
        given.loss,
        [given.model.get_parameter(name) for name in names],
        given.batches,
        check_deterministic=False,
        batch_size_fn=None if isinstance(given.batches[0][0], Tensor) else lambda x: len(x["x"]),
    )


def probes(size: int) -> Tensor:
    """Return the vectors of the identity, or random ones where that is large."""
    if size <= LARGEST_DENSE:
        return torch.eye(size, dtype=torch.float64)
    return torch.randn(size, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def refused(call: Any, pattern: str) -> str:
    """Return the message of a refusal."""
    try:
        call()
    except ValueError as error:
        if re.search(pattern, str(error)):
            return str(error)
        raise
    raise AssertionError(f"not refused, though it should be for {pattern!r}")


def check_random(case: Mapping[str, Any], matrix: str) -> str:
    """Return the message with which a random model or random data are refused, after curvlinops has refused them."""
    import curvlinops

    torch.manual_seed(case["seed"])
    model, loss, data = case["model_func"](), case["loss_func"](), case["data"]()
    try:
        getattr(curvlinops, THEIRS[matrix])(model, loss, list(model.parameters()), data)
    except RuntimeError:
        pass
    else:
        raise AssertionError("curvlinops takes this case")

    def product() -> None:
        operator = OWN[matrix](model, loss, data)
        operator @ torch.ones(operator.size)

    return refused(product, "training mode|same batches in every pass")


def by_case(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each case and matrix how many checks there are, how many disagree, and the largest difference."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in checks:
        groups.setdefault((each["case"], each["matrix"]), []).append(each)
    return [
        {
            "case": case,
            "matrix": matrix,
            "checks": len(group),
            "disagreeing": sum(not each["difference"] <= TOLERANCE for each in group),
            "largest_difference": max(each["difference"] for each in group),
            "how": group[0]["how"],
        }
        for (case, matrix), group in groups.items()
    ]


def main() -> None:
    """Compare all cases, and save the differences."""
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--cases", type=Path, required=True, metavar="PATH", help="a checkout of curvlinops")
    arguments = parser.parse_args()
    checks = []
    for given in cases(arguments.cases):
        for variant in variants(given):
            for matrix in OWN:
                found = {"case": given.name, "batches": variant.batching, "parameters": variant.selection}
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    warnings.filterwarnings("ignore", "Using a target size|.*torch.jit")
                    checks.append(found | {"matrix": matrix} | check(variant, matrix))
                if not checks[-1]["difference"] <= TOLERANCE:
                    print(checks[-1], file=sys.stderr)
        print(given.name, max(each["difference"] for each in checks if each["case"] == given.name), flush=True)
    refusals = {name: {matrix: check_random(case, matrix) for matrix in OWN} for name, case in random_cases().items()}
    content = {
        **origin(packages=("curvlinops-for-pytorch",)),
        "tolerance": TOLERANCE,
        "refused by both": refusals,
        "cases": by_case(checks),
    }
    save(arguments.output, content)
    agreeing = [each for each in checks if each["difference"] <= TOLERANCE]
    known = Counter(name for each in checks for name in each["how"])
    print(f"{len(agreeing)} of {len(checks)} agree; by documented differences: {dict(known)}")


if __name__ == "__main__":
    main()
