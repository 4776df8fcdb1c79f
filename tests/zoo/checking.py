"""Whether a case is right in all modes, dtypes and sizes of blocks: the right matrix, or the error that it should be.

Usually modes and sizes of blocks take turns over the cases, and float32 is for the Hessian of every second one.
``ZOO=full`` (``make zoo``) takes each mode with each size of block in each dtype.
"""

import itertools
import linecache
import os
import re
import traceback
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from zoo import (
    batches,
    detached,
    functions,
    graphs,
    layers,
    losses,
    models,
    operations,
    parameters,
    parametrisations,
    physics,
    reference,
    running,
    sequences,
    weights,
)
from zoo.cases import Case

import hessdens
from hessdens import Plan, fisher_operator, ggn_operator, hessian_operator

ROOMS = (layers, operations, losses, weights, batches, parameters, parametrisations, sequences, graphs, physics,
         models, functions, running, detached)  # fmt: skip
CASES = [case for room in ROOMS for case in room.CASES]
LIBRARY = Path(hessdens.__file__).parent
FULL = os.environ.get("ZOO") == "full"
TURNS = {case.name: turn for turn, case in enumerate(CASES)}
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
# Central differences may not be worse than this, whatever they say of themselves.
LARGEST_ERROR = {torch.float64: 1e-3, torch.float32: 5e-2}
CALLS = {
    "hessian": hessian_operator,
    "ggn": ggn_operator,
    "fisher": fisher_operator,
    "empirical": lambda *arguments, **options: fisher_operator(*arguments, kind="empirical", **options),
}
# What the library may say of its own accord: parameters that no batch uses are left out.
USUAL_WARNINGS = r"left out|not use|central differences"


@dataclass(frozen=True)
class Attempt:
    """What an operator gave: a matrix or an error, warnings, and what it did to the random state."""

    operator: Any
    result: Tensor | Exception
    warnings: set[str]
    keeps_random_state: bool


def checks_of(*rooms):
    """Return a test of each case in these rooms, with each of its operators and dtypes."""
    calls = [
        pytest.param(case, kind, dtype, id=f"{case.name}-{kind}-{str(dtype).removeprefix('torch.')}")
        for room in rooms
        for case in room.CASES
        for kind in case.operators
        for dtype in case.dtypes
        if FULL or dtype == case.dtypes[0] or (kind == "hessian" and TURNS[case.name] % 2)
    ]

    @pytest.mark.parametrize(("case", "kind", "dtype"), calls)
    def test(case, kind, dtype):
        defects = list(defects_of(case, kind, dtype))
        assert not defects, "\n".join(defects)

    return test


def defects_of(case: Case, kind, dtype):
    """Yield what is wrong, one line for each way to make the products."""
    situation = made(case, dtype)
    for parameter in filter(lambda p: p.layout == torch.strided and not is_lazy(p), situation.model.parameters()):
        parameter.grad = torch.ones_like(parameter)
    before = state_of(situation)
    for plan in plans(case, kind, situation, dtype):
        found = defects_in(attempt(kind, situation, plan), case, kind, dtype)
        yield from (f"{plan.mode or 'default'}, {plan.examples_per_block} examples: {defect}" for defect in found)
    yield from changes(before, state_of(situation))


def plans(case, kind, situation, dtype):
    """Yield the plans to look at: usually the library's own mode in float64, one of its modes in float32."""
    turn = TURNS[case.name]
    if dtype == torch.float64 or FULL:
        yield Plan(None, case.blocks[turn % len(case.blocks)])
    if dtype == torch.float64 and not FULL:
        return
    modes = modes_of(case, kind, situation)
    if FULL:
        yield from (Plan(mode, block) for mode in modes for block in case.blocks)
    else:
        yield Plan(modes[(turn // 3) % len(modes)] if modes else None, case.blocks[(turn + 1) % len(case.blocks)])


def modes_of(case, kind, situation):
    """Return the modes that the operator allows, none where it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(kind, situation, Plan()).modes
        except Exception:
            return ()


def call(kind, situation, plan):
    return CALLS[kind](situation.model, situation.loss_fn, situation.data, **situation.options, plan=plan)


def made(case, dtype):
    """Return the situation in this dtype."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return case.make()
    finally:
        torch.set_default_dtype(usual)


@cache
def expected(case_name, kind):
    """Return the reference, and the warnings that torch gives on the way."""
    case = next(case for case in CASES if case.name == case_name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sizes, dense = reference.matrix(kind, made(case, torch.float64), by_differences=case.by_differences)
    return sizes, dense, {str(warning.message) for warning in caught}


def attempt(kind, situation, plan):
    """Return what one operator gives as a matrix."""
    random_state = torch.get_rng_state()
    original = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            original = call(kind, situation, plan)
            operator = situation.then(original)
            result = operator @ torch.eye(operator.size, dtype=operator.dtype)
        except Exception as error:
            result = error
    told = {str(warning.message) for warning in caught}
    return Attempt(original, result, told, torch.equal(random_state, torch.get_rng_state()))


def defects_in(found: Attempt, case, kind, dtype):
    """Return what is wrong with the matrix or the error of one operator."""
    defects = [] if found.keeps_random_state else ["the random state is another"]
    if isinstance(found.result, Exception):
        return [*defects, *wrong_error(case, kind, found.result)]
    if case.refusal is not None and not case.either:
        return [*defects, f"no refusal, but {summary(found.result)}"]
    sizes, dense, usual = expected(case.name, kind)
    allowed = "|".join(filter(None, (USUAL_WARNINGS, case.warning)))
    told = found.warnings - usual
    defects += [f"warning: {message}" for message in told if not re.search(allowed, message)]
    error = found.operator.product_error
    if error is not None and not any("differences" in message for message in told):
        defects.append("central differences without a warning")
    return [*defects, *wrong_matrix(case, found.operator, sizes, dense, found.result, dtype, error)]


def wrong_error(case, kind, error):
    """Return what is wrong with an error, if anything.

    Where torch has no second derivative, the other matrices have no differences to fall back on.
    """
    name, refusal = type(error).__name__, case.refusal
    if refusal is None and case.differences and kind != "hessian":
        refusal = "must be differentiable twice"
    if refusal is None:
        return [f"{name}: {first_line(error)}"]
    if not isinstance(error, ValueError | TypeError):
        return [f"not an error by name: {name}: {first_line(error)}"]
    if not re.search(refusal, str(error)):
        return [f"another error: {name}: {first_line(error)}"]
    return [] if is_our_own(error) else [f"not raised by hessdens: {name}: {first_line(error)}"]


def is_our_own(error):
    """Return whether this library raised an error: its last frame is the library's, which did not just hand it on."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Path(last.filename).is_relative_to(LIBRARY) and "raise " in linecache.getline(last.filename, last.lineno)


def wrong_matrix(case, operator, sizes, dense, result, dtype, error):
    """Return what is wrong with a matrix, if anything."""
    names = parameters_of(operator)
    if unknown := set(names) - set(sizes):
        return [f"parameters {sorted(unknown)} are unknown"]
    places = places_of(sizes)
    left_out = [name for name in sizes if name not in names and dense[places[name]].abs().sum() > 0]
    if left_out:
        return [f"parameters {left_out} are left out"]
    right = part_of(dense, sizes, names)
    if result.shape != right.shape:
        return [f"shape {tuple(result.shape)}, expected {tuple(right.shape)}"]
    true_error = error_of(result, right, by_columns=error is not None)
    if error is None:
        if not true_error <= TOLERANCES[dtype]:
            place = divmod(int((result.double() - right).abs().nan_to_num(torch.inf).argmax()), len(right))
            found, want = float(result[place]), float(right[place])
            return [f"wrong by {true_error:.1e}: got {found:.6g} at {place}, want {want:.6g}"]
        return []
    if not case.differences:
        return ["central differences, though torch has the second derivative"]
    if not true_error <= max(error, TOLERANCES[dtype]):
        return [f"central differences: true error {true_error:.1e}, product_error {error:.1e}"]
    return [f"product_error {error:.1e}"] if error > LARGEST_ERROR[dtype] else []


def parameters_of(operator):
    """Return the names of its parameters, where it may be compiled or not."""
    return [name.replace("_orig_mod.", "") for name in operator.parameter_names]


def places_of(sizes):
    """Return the rows of each parameter in the reference."""
    stops = torch.tensor([0, *sizes.values()]).cumsum(0).tolist()
    return {name: list(range(*ends)) for name, ends in zip(sizes, itertools.pairwise(stops), strict=True)}


def part_of(dense, sizes, names):
    """Return the part of the reference that belongs to these parameters, in their order."""
    places = places_of(sizes)
    rows = [row for name in names for row in places[name]]
    return dense[rows][:, rows]


def error_of(result, right, *, by_columns=False):
    """Return the largest error relative to the largest entry; by columns: relative to their norms, as products have it.

    The norm of a column counts as at least a thousandth of the largest.
    """
    if not right.numel():
        return 0.0
    wrong = result.double() - right
    if by_columns:
        norms = right.norm(dim=0)
        return float((wrong.norm(dim=0) / norms.clamp_min(1e-3 * float(norms.max()))).max())
    largest = float(wrong.abs().nan_to_num(torch.inf).max())
    return largest / float(right.abs().max()) if largest > 0 else 0.0


def state_of(situation):
    """Return all that must not change: contents, identities, modes, gradients, hooks."""
    model = nn.ModuleDict({"model": situation.model})
    if isinstance(situation.loss_fn, nn.Module):
        model["loss_fn"] = situation.loss_fn
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    tensors = {name: tensor for name, tensor in tensors.items() if not is_lazy(tensor)}
    gradients = {f"gradient of {name}": t.grad for name, t in tensors.items() if t.grad is not None}
    contents = {name: (id(t), t.requires_grad, id(t.grad), numbers(t)) for name, t in (tensors | gradients).items()}
    modules = {
        name: (m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for name, m in model.named_modules()
    }
    return contents, modules


def numbers(tensor):
    dense = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    return dense.clone()


def changes(before, after):
    """Yield what differs between two states."""
    for name, (*facts, values) in before[0].items():
        *others, found = after[0].get(name, (None, None, None, values))
        if facts != others:
            yield f"{name!r} is another object, or has another requires_grad or grad"
        if not torch.equal(values, found):
            yield f"the values of {name!r} changed"
    if before[1] != after[1]:
        yield "modes or hooks of modules changed"


def summary(result):
    return f"{tuple(result.shape)}, largest entry {float(result.abs().max()):.4g}" if result.numel() else "nothing"


def first_line(error):
    text = str(error).strip().split("\n")[0]
    return text if len(text) < 200 else text[:200] + "..."
