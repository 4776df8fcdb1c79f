"""Which engines are right for a loss, tried on a few examples, and which module is to blame where none is."""

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hessdens.curvature.containers import tensors_of
from hessdens.curvature.engines.engine import FiniteChecks, Make, UnsuitableError, gradients
from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.curvature.engines.tables import LAST_RESORT, REFERENCE, Mode
from hessdens.errors import NonFiniteError

# Differences of gradients in float32 are right to about 1e-3 for a smooth loss; a wrong derivative is far off.
TOLERANCE_OF_DIFFERENCES = 0.1


def possible_modes(table: Mapping[Mode, Make], loss: LossModule, values: Values, batch: Any) -> tuple[Mode, ...]:
    """Return the modes that give the products of this loss; warn where that is central differences alone.

    Some operations have no forward derivative, and that of torch's mean squared error fails (pytorch issue 123996).
    A custom operation may even have a wrong one. Backward passes are the reference; without them, differences are.

    Raises
    ------
    NonFiniteError
        If no second derivative is finite.
    ValueError
        If torch cannot differentiate the loss twice, and the matrix has no central differences.
    """
    reasons: list[object] = ["a custom operation is marked as once differentiable."]
    products: dict[Mode, Tensor] = {}
    if not is_differentiable_once_only(loss, batch, values):
        exact = {mode: make for mode, make in table.items() if mode != LAST_RESORT}
        products, errors = tried(exact, loss, values, batch)
        reasons += errors
    finite = {mode: product for mode, product in products.items() if product.isfinite().all()}
    if products and not finite:
        raise NonFiniteError("The second derivative of the loss must be finite; that of batch 0 is not.")
    reference, tolerance = finite.get(REFERENCE), torch.finfo(_dtype(values)).eps ** 0.5
    if reference is None and LAST_RESORT in table:
        reference, tolerance = product_of(table[LAST_RESORT], loss, values, batch), TOLERANCE_OF_DIFFERENCES
    modes = agreeing(finite, reference, tolerance)
    reasons += [f"its derivatives contradict one another ({mode})." for mode in finite if mode not in modes]
    if modes:
        return modes
    with torch.enable_grad():
        culprit = place_without_derivative(loss, batch, values, 2)
    if LAST_RESORT not in table:
        raise ValueError(f"The loss must be differentiable twice by torch; {culprit} is not: {reasons[-1]}")
    warnings.warn(
        "Products are central differences of gradients (see product_error): torch cannot differentiate this loss "
        f"twice, because of {culprit}: {reasons[-1]}",
        stacklevel=4,
    )
    return (LAST_RESORT,)


def tried(
    table: Mapping[Mode, Make], loss: LossModule, values: Values, batch: Any
) -> tuple[dict[Mode, Tensor], list[Exception]]:
    """Return the product of each engine that makes one, and the errors of the others."""
    products: dict[Mode, Tensor] = {}
    errors: list[Exception] = []
    for mode, make in table.items():
        try:
            products[mode] = product_of(make, loss, values, batch)
        except UnsuitableError:
            pass
        except (RuntimeError, NotImplementedError) as error:
            errors.append(error)
    return products, errors


def product_of(make: Make, loss: LossModule, values: Values, batch: Any) -> Tensor:
    """Return an engine's product of a batch with one fixed random vector, shape (1, N)."""
    leader = next(iter(values.values()))
    size = sum(value.numel() for value in values.values())
    dtype = torch.promote_types(leader.dtype, torch.float32)
    probe = torch.randn(1, size, generator=torch.Generator().manual_seed(0), dtype=dtype).to(leader.device)
    engine = make(loss, values, probe, 1)
    checks = FiniteChecks()
    checks.add(0, engine.add(batch, 1.0))
    checks.raise_if_not()
    return engine.total()


def agreeing(products: Mapping[Mode, Tensor], reference: Tensor | None, tolerance: float) -> tuple[Mode, ...]:
    """Return the modes whose product is within the relative tolerance of the reference; none without one."""
    if reference is None:
        return ()
    bound = tolerance * float(reference.norm())
    return tuple(mode for mode, product in products.items() if float((product - reference).norm()) <= bound)


def _dtype(values: Values) -> torch.dtype:
    return next(iter(values.values())).dtype


def is_differentiable_once_only(loss: LossModule, batch: Any, values: Values) -> bool:
    """Return whether a custom operation forbids a second derivative, which torch would silently take as zero."""
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
    with torch.enable_grad():
        return _forbids_more(gradients(loss.value(batch, leaves), list(leaves.values()), create_graph=True))


def place_without_derivative(loss: LossModule, batch: Any, values: Values, order: int) -> str:
    """Return the innermost module whose output has no derivative of this order (1 or 2) in torch, or the loss.

    Cost: one or two gradients per module.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}

    def look(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        # What is wrong with the inputs already happened in a module around this one.
        before, after = (_has_derivative(values, list(leaves.values()), order) for values in (inputs, output))
        if before and not after:
            raise _CulpritError(f"{type(module).__name__} {name!r}")

    handles = [module.register_forward_hook(partial(look, name)) for name, module in loss.model.named_modules()]
    try:
        with torch.enable_grad():
            loss.outputs(batch, leaves)
    except _CulpritError as culprit:
        return str(culprit)
    finally:
        for handle in handles:
            handle.remove()
    return "the loss function"


class _CulpritError(Exception):
    """The message is the module."""


def _has_derivative(output: Any, leaves: list[Tensor], order: int) -> bool:
    """Return whether torch can differentiate a module's output so many times."""
    # Squares, so that what goes into a backward pass depends on the parameters, as the gradient of a loss does.
    parts = [part.square().sum() for part in tensors_of(output) if part.requires_grad]
    try:
        for _ in range(order):
            if not parts:
                return True
            total = torch.stack([part.to(parts[0].dtype) for part in parts]).sum()
            gradients = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
            differentiable = [entry for entry in gradients if entry is not None and entry.requires_grad]
            if order > 1 and _forbids_more(differentiable):
                return False
            parts = [entry.square().sum() for entry in differentiable]
    except (RuntimeError, NotImplementedError):
        return False
    return True


def _forbids_more(gradients: Sequence[Tensor]) -> bool:
    nodes = [entry.grad_fn for entry in gradients]
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        if node is not None:
            if node.name() == "torch::autograd::Error":
                return True
            fresh = {function for function, _ in node.next_functions} - seen
            seen |= fresh
            nodes += fresh
    return False
