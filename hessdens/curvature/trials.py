"""Which engines are right for a loss, tried on a few examples, and which module is to blame where none is."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hessdens.curvature.containers import flattened, tensors_of
from hessdens.curvature.engines.differences import DifferenceProducts, relative_step, step_sizes
from hessdens.curvature.engines.engine import FiniteChecks, Make, UnsuitableError
from hessdens.curvature.engines.loss_module import LossModule, Values, gradients
from hessdens.curvature.engines.tables import LAST_RESORT, REFERENCE, Mode
from hessdens.errors import NonFiniteError

# A second derivative that is right differs from differences by less, besides their own error; other dtypes are coarse.
CONFIRMED_WITHIN = {torch.float64: 1e-3, torch.float32: 1e-2}
COARSE = 0.5
# The slope of the loss along a vector, by its gradient and by differences.
SLOPE_WITHIN = 1e-3


def possible_modes(table: Mapping[Mode, Make], loss: LossModule, values: Values, batch: Any) -> tuple[Mode, ...]:
    """Return the modes that give the products of this loss; warn where that is central differences alone.

    Some operations have no forward derivative, and that of torch's mean squared error fails (pytorch issue 123996).
    A custom operation may even have a wrong one. Backward passes are the reference for other modes; and since all share
    the backward passes of operations, a product must agree with central differences, in float64 if possible.

    Raises
    ------
    NonFiniteError
        If no second derivative is finite.
    ValueError
        If torch cannot differentiate the loss twice, and the matrix has no central differences; if parameters are used
        past the model; for a Gauss-Newton matrix, if ``loss_fn`` reads parameters.
    """
    check_reached(loss, values, batch)
    exact = {mode: make for mode, make in table.items() if mode != LAST_RESORT}
    if loss.reads_parameters(batch, values):
        if LAST_RESORT not in table:
            raise ValueError(
                "The Gauss-Newton matrix needs a loss_fn of the outputs alone; this one reads parameters of the model. "
                "Return the penalty, or what else it reads, as an output from forward=, or use hessian_operator."
            )
        exact.pop("feedforward", None)  # it knows the loss as a function of the outputs
    reasons: list[object] = ["a custom operation is marked as once differentiable."]
    products: dict[Mode, Tensor] = {}
    if not is_differentiable_once_only(loss, batch, values):
        products, errors = tried(exact, loss, values, batch)
        reasons += errors
    finite = {mode: product for mode, product in products.items() if product.isfinite().all()}
    if products and not finite:
        raise NonFiniteError("The second derivative of the loss must be finite; that of batch 0 is not.")
    check = confirmed if LAST_RESORT in table else gauss_newton_confirmed
    reference = finite.get(REFERENCE)
    if reference is None:
        modes = tuple(mode for mode, product in finite.items() if check(product, loss, values, batch))
    else:
        modes = agreeing(finite, reference, torch.finfo(_dtype(values)).eps ** 0.5)
        modes = modes if check(reference, loss, values, batch) else ()
    if modes:
        return modes
    with torch.enable_grad():
        culprit = place_without_derivative(loss, batch, values, 2)
    if finite:
        reasons.append(f"what it gives contradicts central differences{custom_functions(loss, batch, values)}.")
    if LAST_RESORT not in table:
        raise ValueError(f"The loss must be differentiable twice by torch; {culprit} is not: {reasons[-1]}")
    warnings.warn(
        "Products are central differences of gradients (see product_error): torch cannot differentiate this loss "
        f"twice, because of {culprit}: {reasons[-1]}",
        stacklevel=4,
    )
    return (LAST_RESORT,)


def check_reached(loss: LossModule, values: Values, batch: Any) -> None:
    """Raise ValueError if the loss depends on a parameter otherwise than through the model that it is given."""
    _, real = loss.gradient(batch, values)
    _, replaced = loss.gradient(batch, {name: value.detach() for name, value in values.items()})
    tolerance = torch.finfo(_dtype(values)).eps ** 0.5
    for name, first, second in zip(values, real, replaced, strict=True):
        if float((first - second).norm()) > tolerance * float(first.norm() + second.norm()):
            raise ValueError(
                f"Parameters must be read from the model when it is evaluated; {name!r} is used past it: in a list, a "
                "captured tensor or the like. Read it as an attribute of the model that forward= is given."
            )


def confirmed(products: Tensor, loss: LossModule, values: Values, batch: Any) -> bool:
    """Return whether Hessian products with the `probes` of trials agree with central differences for the first.

    Where they do not, and the gradient is not that of the loss either because parts of it were detached, the matrix is
    that of the loss that autograd sees. Cost: 4 gradients of the batch.

    Raises
    ------
    ValueError
        If the gradient is not that of the loss because of a custom function, such as gradient reversal.
    """
    vectors = probes(values)
    try:
        found = DifferenceProducts(loss, values, vectors, 1).difference(batch, vectors[0])
    except (RuntimeError, NotImplementedError):
        return True  # nothing to compare with
    product, other = products[0].double(), found.product.double()
    bound = _within(values) * torch.maximum(product.norm(), other.norm()) + found.error
    if not bool((product - other).norm() > bound):
        return True
    if found.is_of_the_loss(SLOPE_WITHIN):
        return False
    if functions := custom_functions(loss, batch, values):
        raise ValueError(
            f"The gradient must be the derivative of the loss; differences of the loss contradict it{functions}. "
            "Give such functions their own derivative; gradient reversal and the like have no Hessian."
        )
    return True


def gauss_newton_confirmed(products: Tensor, loss: LossModule, values: Values, batch: Any) -> bool:
    """Return whether Gauss-Newton products agree with differences of the loss's gradient at the outputs.

    Only custom functions are doubted; losses with constants made from the outputs are right as they are.
    """
    if not custom_functions(loss, batch, values):
        return True
    vector = probes(values)[0].to(_dtype(values))
    norm = torch.cat([value.detach().flatten() for value in values.values()]).norm()
    step = float(step_sizes(vector.norm(), float(norm), relative_step(vector.dtype)))

    def at(size: float) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        pieces = (size * vector).split([value.numel() for value in values.values()])
        moved = {
            name: value.detach() + piece.view_as(value)
            for (name, value), piece in zip(values.items(), pieces, strict=True)
        }
        outputs, targets = loss.outputs(batch, moved)
        parts, rebuilt = flattened(outputs)
        points = [part.detach().requires_grad_() for part in parts]
        value = loss.loss_fn(rebuilt(points), targets)
        return value.detach(), list(torch.autograd.grad(value, points, materialize_grads=True)), points

    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
    with torch.enable_grad():
        ahead, behind = at(step), at(-step)
        bends = [(a - b) / (2 * step) for a, b in zip(ahead[1], behind[1], strict=True)]
        parts = flattened(loss.outputs(batch, leaves)[0])[0]
        pulled = torch.stack([(part * bend).sum() for part, bend in zip(parts, bends, strict=True)]).sum()
        found = torch.autograd.grad(pulled, list(leaves.values()), allow_unused=True, materialize_grads=True)
    product, other = products[0].double(), torch.cat([part.flatten() for part in found]).double()
    if bool((product - other).norm() <= 10 * _within(values) * torch.maximum(product.norm(), other.norm())):
        return True
    rises, steps = float(ahead[0] - behind[0]), zip(ahead[1], behind[1], ahead[2], behind[2], strict=True)
    slope = sum(float(((a + b) / 2 * (y - z)).detach().sum()) for a, b, y, z in steps)
    return abs(slope - rises) > 10 * SLOPE_WITHIN * max(abs(slope), abs(rises))


def _within(values: Values) -> float:
    """Return how near products are to differences where they are right."""
    leader = next(iter(values.values()))
    return COARSE if torch.is_autocast_enabled(leader.device.type) else CONFIRMED_WITHIN.get(leader.dtype, COARSE)


def custom_functions(loss: LossModule, batch: Any, values: Values) -> str:
    """Return the custom functions in the graph of the loss, in brackets."""
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
    with torch.enable_grad():
        value = loss.value(batch, leaves)
    kinds = {type(node) for node in operations([value]) if isinstance(node, torch.autograd.function.BackwardCFunction)}
    # Those of this library begin with an underscore.
    names = sorted(kind.__name__.removesuffix("Backward") for kind in kinds if not kind.__name__.startswith("_"))
    return f" (custom functions: {', '.join(names)})" if names else ""


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


def probes(values: Values) -> Tensor:
    """Return the two vectors of trials, shape (2, N): with one alone nothing would be batched."""
    leader = next(iter(values.values()))
    size = sum(value.numel() for value in values.values())
    dtype = torch.promote_types(leader.dtype, torch.float32)
    return torch.randn(2, size, generator=torch.Generator().manual_seed(0), dtype=dtype).to(leader.device)


def product_of(make: Make, loss: LossModule, values: Values, batch: Any) -> Tensor:
    """Return an engine's products of a batch with the vectors of trials, shape (2, N)."""
    engine = make(loss, values, probes(values), 2)
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
    return any(node.name() == "torch::autograd::Error" for node in operations(gradients))


def operations(tensors: Sequence[Tensor]) -> Iterator[Any]:
    """Yield the operations that made these tensors."""
    nodes: list[Any] = [tensor.grad_fn for tensor in tensors]
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        if node is not None:
            yield node
            fresh = {function for function, _ in node.next_functions} - seen
            seen |= fresh
            nodes += fresh
