"""Which engines give the products of a loss, tried on a few examples."""

import contextlib
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

import torch
from torch import Tensor

from hessdens._calls import warn_caller
from hessdens.curvature.engines.engine import FiniteChecks, Make, UnsuitableError
from hessdens.curvature.engines.loss_module import LossModule, Values
from hessdens.curvature.engines.tables import COSTLY, ENGINES, LAST_RESORT, REFERENCE, Mode
from hessdens.curvature.notes import first_sentence
from hessdens.curvature.trials.confirmation import confirmed, in_brackets
from hessdens.curvature.trials.culprits import (
    gradient_exists,
    place_of_contradiction,
    place_without_derivative,
)
from hessdens.curvature.trials.graph import Graph, graph_of, is_differentiable_once_only
from hessdens.errors import NonFiniteError


@dataclass
class Modes:
    """The modes that give the products of a loss, in order of preference.

    ``known`` have been tried; ``find``, if there is one, returns whether the costly one is right for some ``blocks``.
    """

    known: tuple[Mode, ...]
    find: Callable[[Sequence[Any]], bool] | None = None
    blocks: list[Any] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether the costly one has not been tried."""
        return self.find is not None

    def all(self) -> tuple[Mode, ...]:
        """Return all modes, of which the costly one is tried now if that has not been done."""
        if self.find is not None:
            more = {COSTLY} if self.find(self.blocks) else set()
            self.known = tuple(mode for mode in get_args(Mode) if mode in more.union(self.known))
            self.find, self.blocks = None, []
        return self.known

    def leave_out(self, wrong: Container[Mode]) -> None:
        """Go on without some modes."""
        self.known = tuple(mode for mode in self.known if mode not in wrong)


@dataclass(frozen=True)
class Verdict:
    """The modes that give the products of a loss, and what confirmed them."""

    modes: Modes
    confirmation: str
    graph: Graph


def possible_modes(table: Mapping[Mode, Make], loss: LossModule, values: Values, batch: Any) -> Verdict:
    """Return the modes that give the products of this loss; warn where that is central differences alone.

    Some operations have no forward derivative, and that of torch's mean squared error fails (pytorch issue 123996).
    A custom operation may even have a wrong one. Backward passes are the reference for other modes; and since all share
    the backward passes of operations, a product must agree with differences of gradients, in float64 if possible. Where
    backward passes do, what is costly to try waits until it is wanted.

    Raises
    ------
    NonFiniteError
        If no second derivative is finite.
    ValueError
        If torch cannot differentiate the loss twice, and the matrix has no central differences; if parameters are used
        past the model; for a Gauss-Newton matrix, if ``loss_fn`` reads parameters.
    """
    graph = graph_of(loss, values, batch)
    exact = {mode: make for mode, make in table.items() if mode != LAST_RESORT}
    if graph.loss_reads_parameters:
        if LAST_RESORT not in table:
            raise ValueError(
                "The Gauss-Newton matrix needs a loss_fn of the outputs alone; this one, or the targets, read "
                "parameters of the model. Return the penalty, or what else it reads, as an output from forward=, "
                "detach targets, or use hessian_operator."
            )
        exact.pop("feedforward", None)  # it knows the loss as a function of the outputs
    vectors = probes(values)
    finite, errors = _finite_products(exact, loss, values, batch, vectors)
    reasons: list[object] = [*errors]
    check = partial(confirmed, gauss_newton=LAST_RESORT not in table)
    for mode in [REFERENCE] if REFERENCE in finite else finite:
        if confirmation := check(finite[mode], loss, values, batch, vectors, graph.custom_functions):
            modes = Modes((mode,))
            if mode == REFERENCE:
                modes = Modes(tuple(finite), partial(_costly_is_right, exact, loss, values), [batch])
            return Verdict(modes, f"{mode}: {confirmation}", graph)
    if finite and not is_differentiable_once_only(loss, values, batch):
        culprit = place_of_contradiction(loss, values, batch, partial(_is_contradicted, values, batch, vectors))
        reasons.append(f"what it gives contradicts central differences{in_brackets(graph.custom_functions)}.")
    else:
        culprit = place_without_derivative(loss, batch, values, 2)
        if finite:
            reasons.append("a custom operation is marked as once differentiable.")
    if LAST_RESORT not in table:
        raise ValueError(
            f"The loss must be differentiable twice by torch; {culprit} is not: {first_sentence(reasons[-1])}. Use "
            "hessian_operator, which takes central differences there."
        )
    warn_caller(
        "Products are central differences of gradients (see product_error): torch cannot differentiate this loss "
        f"twice, because of {culprit}: {reasons[-1]}",
    )
    return Verdict(Modes((LAST_RESORT,)), f"{LAST_RESORT}: product_error is their measured error", graph)


def _finite_products(
    exact: Mapping[Mode, Make], loss: LossModule, values: Values, batch: Any, vectors: Tensor
) -> tuple[dict[Mode, Tensor], list[Exception]]:
    """Return the products that are finite, and agree with the reference if there is one, by mode, and errors.

    The costly mode is tried only where there is no reference.
    """
    products, errors = tried({mode: exact[mode] for mode in exact if mode != COSTLY}, loss, values, batch, vectors)
    finite = _finite(products)
    if REFERENCE in finite:
        return agreeing(finite, values), errors
    with gradient_exists(loss, values, batch):
        loss.gradient(batch, values)
    more, more_errors = tried({COSTLY: exact[COSTLY]}, loss, values, batch, vectors)
    products, finite = products | more, finite | _finite(more)
    if products and not finite:
        culprit = place_of_contradiction(loss, values, batch, partial(_is_infinite, values, batch, vectors))
        raise NonFiniteError(
            f"The second derivative of the loss must be finite; that of batch 0 is not, because of {culprit}. Keep "
            "roots, norms and powers there away from 0, as sqrt(x + 1e-12) does."
        )
    return finite, errors + more_errors


def _costly_is_right(table: Mapping[Mode, Make], loss: LossModule, values: Values, blocks: Sequence[Any]) -> bool:
    """Return whether the products of the costly mode agree with the reference for each of these blocks."""
    pair = {mode: table[mode] for mode in (COSTLY, REFERENCE)}
    return all(COSTLY in (_right(pair, loss, values, block) or ()) for block in blocks)


def _right(table: Mapping[Mode, Make], loss: LossModule, values: Values, block: Any) -> dict[Mode, Tensor] | None:
    """Return the products of modes that agree with the reference for a block, by mode; None if that has none."""
    with contextlib.suppress(NonFiniteError):  # whatever product is made, it says so
        products = _finite(tried(table, loss, values, block, probes(values))[0])
        if REFERENCE in products:
            return agreeing(products, values)
    return None


def _finite(products: Mapping[Mode, Tensor]) -> dict[Mode, Tensor]:
    """Return the products without entries that are not finite."""
    return {mode: product for mode, product in products.items() if torch.stack(product.aminmax()).isfinite().all()}


class Look:
    """Looks at blocks for what the first few examples did not show.

    Cost: one forward pass of each. Where operations are linked as they have not been so far, also a product with two
    vectors by each mode. Where there are custom functions, which may be wrong for some examples only, another one and
    two gradients.
    """

    def __init__(self, table: Mapping[Mode, Make], modes: Modes, first: Verdict, loss: LossModule) -> None:
        self._table, self._modes, self._loss = table, modes, loss
        self._graph, self._links = first.graph, {*first.graph.links}
        self._has_reference = REFERENCE in first.modes.known

    def __call__(self, values: Values, block: Any, index: int) -> None:
        """Raise ValueError if a block of batch ``index`` is not such; modes that are wrong for it are left out."""
        graph = graph_of(self._loss, values, block)
        self._graph.check_same(graph, index)
        if not graph.links <= self._links and self._has_reference:
            self._links |= graph.links
            self._try(values, block)
        if graph.custom_functions and LAST_RESORT not in self._modes.known:
            self._confirm(values, block, index, graph)

    def _try(self, values: Values, block: Any) -> None:
        """Leave out the modes that are wrong for a block: what ends a derivative, say, may not be seen by all."""
        if self._modes.find is not None:
            self._modes.blocks.append(block)
        table = {mode: self._table[mode] for mode in {*self._modes.known, REFERENCE}}
        if len(table) > 1 and (right := _right(table, self._loss, values, block)) is not None:
            self._modes.leave_out(table.keys() - right.keys())

    def _confirm(self, values: Values, block: Any, index: int, graph: Graph) -> None:
        """Raise ValueError if differences of gradients contradict the products of a block."""
        vectors, modes = probes(values), self._modes.known
        mode = REFERENCE if REFERENCE in modes else modes[0]
        check = partial(confirmed, gauss_newton=LAST_RESORT not in self._table)
        for product in tried({mode: self._table[mode]}, self._loss, values, block, vectors)[0].values():
            if not check(product, self._loss, values, block, vectors, graph.custom_functions):
                use = "Pass" if LAST_RESORT in self._table else "Use hessian_operator with"
                raise ValueError(
                    f"The loss must be differentiable twice by torch; that of batch {index} contradicts central "
                    f"differences{in_brackets(graph.custom_functions)}, that of the first examples does not. {use} "
                    'plan=Plan("central-differences").'
                )


@contextlib.contextmanager
def explained(loss: LossModule, values: Values, block: Any, index: int) -> Iterator[None]:
    """Raise ValueError, naming the module, where torch has no second derivative of a batch that was not tried."""
    try:
        yield
    except (NotImplementedError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        culprit = place_without_derivative(loss, block, values, 2)  # or the error of the forward pass itself
        raise ValueError(
            f"The loss must be differentiable twice by torch; in batch {index} {culprit} is not: "
            f"{first_sentence(error)}. Put this batch first, so that other ways are tried on it."
        ) from error


def tried(
    table: Mapping[Mode, Make], loss: LossModule, values: Values, batch: Any, vectors: Tensor
) -> tuple[dict[Mode, Tensor], list[Exception]]:
    """Return the product of each engine that makes one, and the errors of the others."""
    products: dict[Mode, Tensor] = {}
    errors: list[Exception] = []
    for mode, make in table.items():
        try:
            products[mode] = product_of(make, loss, values, batch, vectors)
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


def product_of(make: Make, loss: LossModule, values: Values, batch: Any, vectors: Tensor) -> Tensor:
    """Return an engine's products of a batch with the vectors of trials, shape (2, N)."""
    engine = make(loss, values, vectors, len(vectors))
    checks = FiniteChecks()
    checks.add(0, engine.add(batch, 1.0))
    checks.raise_if_not()
    return engine.total()


def agreeing(products: Mapping[Mode, Tensor], values: Values) -> dict[Mode, Tensor]:
    """Return the products that are as near to the reference as the root of the parameters' eps, by mode."""
    reference = products[REFERENCE]
    bound = torch.finfo(next(iter(values.values())).dtype).eps ** 0.5 * float(reference.norm())
    return {
        mode: product
        for mode, product in products.items()
        if mode == REFERENCE or float((product - reference).norm()) <= bound
    }


def _is_contradicted(values: Values, batch: Any, vectors: Tensor, loss: LossModule) -> bool:
    """Return whether differences of gradients contradict the Hessian of a loss."""
    products, _ = tried({REFERENCE: ENGINES["hessian"][REFERENCE]}, loss, values, batch, vectors)
    with contextlib.suppress(ValueError):
        return any(not confirmed(product, loss, values, batch, vectors, ("",)) for product in products.values())
    return True


def _is_infinite(values: Values, batch: Any, vectors: Tensor, loss: LossModule) -> bool:
    """Return whether Hessian products of a loss are not finite."""
    products, _ = tried({REFERENCE: ENGINES["hessian"][REFERENCE]}, loss, values, batch, vectors)
    return len(_finite(products)) < len(products)
