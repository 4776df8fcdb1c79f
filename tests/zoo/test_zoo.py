"""Every case of the zoo, in all modes, dtypes and sizes of blocks: the right matrix, or the error that it should be.

``ZOO=full`` runs each mode with each size of block in each dtype, in some minutes; otherwise they take turns over the
cases, and float32 is for the Hessian of every second one.
"""

import os
import re
import warnings
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.nn.parameter import is_lazy
from zoo import (
    batches,
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
from zoo.matrices import MATRICES

from hessdens import Plan, as_operator, fisher_operator, ggn_operator, hessian_operator

ROOMS = (layers, operations, losses, weights, batches, parameters, parametrisations, sequences, graphs, physics,
         models, functions, running)  # fmt: skip
CASES = [case for room in ROOMS for case in room.CASES]
FULL = os.environ.get("ZOO") == "full"
# What is not right yet; ZOO=full has a few more.
FAULTS = set() if FULL else set(Path(__file__).with_name("faults.txt").read_text().splitlines())
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


def every_call():
    """Return each case with each of its operators and dtypes."""
    calls = [
        (case, kind, dtype, turn)
        for turn, case in enumerate(CASES)
        for kind in case.operators
        for dtype in case.dtypes
        if FULL or dtype == case.dtypes[0] or (kind == "hessian" and turn % 2)
    ]
    names = [f"{case.name}-{kind}-{str(dtype).removeprefix('torch.')}" for case, kind, dtype, _ in calls]
    return [param(f"test_zoo[{name}]", *call, label=name) for call, name in zip(calls, names, strict=True)]


def param(name, *values, label):
    """Return a case; a known fault must show, and who mends it takes it off the list."""
    marks = [pytest.mark.xfail(strict=True, reason="a known fault")] if name in FAULTS else []
    return pytest.param(*values, id=label, marks=marks)


@pytest.mark.parametrize(("case", "kind", "dtype", "turn"), every_call())
def test_zoo(case, kind, dtype, turn):
    defects = list(defects_of(case, kind, dtype, turn))
    assert not defects, "\n".join(defects)


@pytest.mark.parametrize("case", [param(f"test_matrices[{case.name}]", case, label=case.name) for case in MATRICES])
def test_matrices(case):
    if case.refusal is not None:
        with pytest.raises((ValueError, TypeError), match=case.refusal):
            as_operator(case.make(), **case.options) @ torch.eye(3, dtype=torch.float64)
        return
    operator = as_operator(case.make(), **case.options)
    result = operator @ torch.eye(operator.size, dtype=operator.dtype)
    assert not result.requires_grad
    torch.testing.assert_close(result.double(), torch.from_numpy(case.expected), rtol=1e-12, atol=0)


def test_names_are_unique_and_many():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 150


def defects_of(case: Case, kind, dtype, turn):
    """Yield what is wrong, one line for each way to make the products."""
    situation = made(case, dtype)
    before = state_of(situation.model)
    for plan in plans(case, kind, situation, dtype, turn):
        found = outcome(case, kind, situation, dtype, plan)
        yield from (f"{plan.mode or 'default'}, {plan.examples_per_block} examples: {defect}" for defect in found)
    yield from changes(before, state_of(situation.model))


def plans(case, kind, situation, dtype, turn):
    """Yield the plans to look at: by default the library's own mode in float64, one of its modes in float32."""
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


def outcome(case, kind, situation, dtype, plan):
    """Return what is wrong with the matrix of one operator."""
    random_state = torch.get_rng_state()
    defects = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            original = call(kind, situation, plan)
            operator = situation.then(original)
            result = operator @ torch.eye(operator.size, dtype=operator.dtype)
        except Exception as error:
            result = error
    if not torch.equal(random_state, torch.get_rng_state()):
        defects.append("the random state is another")
    if isinstance(result, Exception):
        return [*defects, *wrong_error(case, kind, result)]
    if case.refusal is not None and not case.either:
        return [*defects, f"no refusal, but {summary(result)}"]
    sizes, dense, usual = expected(case.name, kind)
    allowed = "|".join(filter(None, (USUAL_WARNINGS, case.warning)))
    told = {str(warning.message) for warning in caught} - usual
    defects += [f"warning: {message}" for message in told if not re.search(allowed, message)]
    error = original.product_error
    if error is not None and not any("differences" in message for message in told):
        defects.append("central differences without a warning")
    return [*defects, *wrong_matrix(case, original, sizes, dense, result, dtype, error)]


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
    return [] if re.search(refusal, str(error)) else [f"another error: {name}: {first_line(error)}"]


def wrong_matrix(case, operator, sizes, dense, result, dtype, error):
    """Return what is wrong with a matrix, if anything."""
    names = [name.replace("_orig_mod.", "") for name in operator.parameter_names]
    if unknown := set(names) - set(sizes):
        return [f"parameters {sorted(unknown)} are unknown"]
    stops = dict(zip(sizes, torch.tensor(list(sizes.values())).cumsum(0).tolist(), strict=True))
    places = {name: range(stops[name] - sizes[name], stops[name]) for name in sizes}
    left_out = [name for name in sizes if name not in names and dense[list(places[name])].abs().sum() > 0]
    if left_out:
        return [f"parameters {left_out} are left out"]
    rows = [row for name in names for row in places[name]]
    if result.shape != (len(rows), len(rows)):
        return [f"shape {tuple(result.shape)}, expected {(len(rows), len(rows))}"]
    right = dense[rows][:, rows]
    wrong = (result.double() - right).abs()
    if error is None:
        largest = float(right.abs().max()) if right.numel() else 0.0
        if bool(wrong.isnan().any()) or float(wrong.max()) > TOLERANCES[dtype] * largest:
            place = divmod(int(wrong.nan_to_num(torch.inf).argmax()), len(rows))
            found, want = float(result[place]), float(right[place])
            return [f"wrong by {float(wrong.max()) / largest:.1e}: got {found:.6g} at {place}, want {want:.6g}"]
        return []
    if not case.differences:
        return ["central differences, though torch has the second derivative"]
    norms = right.norm(dim=0).clamp_min(1e-3 * float(right.norm(dim=0).max()))
    true_error = float((wrong.norm(dim=0) / norms).max())
    if not true_error <= max(error, TOLERANCES[dtype]):
        return [f"central differences: true error {true_error:.1e}, product_error {error:.1e}"]
    return [f"product_error {error:.1e}"] if error > LARGEST_ERROR[dtype] else []


def state_of(model):
    """Return all that must not change: contents, identities, modes, gradients, hooks."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    tensors = {name: tensor for name, tensor in tensors.items() if not is_lazy(tensor)}
    contents = {name: (id(t), t.requires_grad, t.grad is None, numbers(t)) for name, t in tensors.items()}
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
