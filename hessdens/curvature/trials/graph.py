"""What the graph of operations behind a loss tells, without a number."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.overrides import TorchFunctionMode

from hessdens._torch import custom_function
from hessdens.curvature.containers import leaves_of, tensors_of
from hessdens.curvature.engines.loss_module import LossModule, Values, gradients
from hessdens.curvature.engines.replacement import is_number
from hessdens.curvature.trials.hooks import TensorHooks, changing_hooks

# Modules whose custom functions have right derivatives: this library's, and hooks that torch makes functions of.
TRUSTED = ("hessdens.", "torch.nn.modules._functions")


@dataclass(frozen=True)
class Graph:
    """What the operations tell that made the loss of a few examples.

    ``loss_reads_parameters``: whether it depends on them otherwise than through the outputs. ``links``: the names of
    any two operations of which one takes what the other gives, or of one that ends a derivative.
    """

    loss_reads_parameters: bool
    custom_functions: tuple[str, ...]
    links: frozenset[tuple[str, str]]

    def check_same(self, other: "Graph", index: int) -> None:
        """Raise ValueError if a later batch shows what this one of the first examples does not."""
        more = sorted({*other.custom_functions} - {*self.custom_functions})
        news = [f"the custom functions {', '.join(more)}"] if more else []
        if other.loss_reads_parameters and not self.loss_reads_parameters:
            news.append("a loss function, or targets, that read parameters of the model")
        if news:
            raise ValueError(
                f"The first batch must show all that the loss is made of, since second derivatives are checked on it; "
                f"batch {index} has {' and '.join(news)}. Put this batch first."
            )


def graph_of(loss: LossModule, values: Values, batch: Any) -> Graph:
    """Return what the graph of a loss tells. Cost: one forward pass of the batch.

    Raises ValueError if the loss depends on a parameter otherwise than through the model that it is given, or if hooks
    or ``scale_grad_by_freq`` change its gradient.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
    with torch.enable_grad(), TensorHooks() as hooks, _Ends() as ends:
        value, outputs = loss.with_origins(batch, leaves)
    nodes = list(operations([value]))
    if any(getattr(node, "_saved_scale_grad_by_freq", False) for node in nodes):
        raise ValueError("The gradient must be that of the loss; an embedding has scale_grad_by_freq. Set it to False.")
    read = {id(node.variable) for node in nodes if hasattr(node, "variable")}
    for name, parameter in values.items():
        if id(parameter) in read:
            raise ValueError(
                f"Parameters must be read from the model when it is evaluated; {name!r} is used past it: in a list, a "
                "captured tensor or the like. Read it as an attribute of the model that forward= is given."
            )
    by_loss_fn = {id(node.variable) for node in operations([value], outputs) if hasattr(node, "variable")}
    names = {function.__name__ for function in custom_functions(nodes)}
    names |= {*changing_hooks(loss, values, batch, hooks.names)}
    links = {(node.name(), source.name()) for node in nodes for source, _ in node.next_functions if source}
    reads = not by_loss_fn.isdisjoint(map(id, leaves.values()))
    return Graph(reads, tuple(sorted(names)), frozenset(links | {("the end", name) for name in ends.names}))


def custom_functions(nodes: Iterable[Any]) -> set[Any]:
    """Return the custom functions among operations, without those of `TRUSTED` modules."""
    kinds: set[Any] = {type(node) for node in nodes if isinstance(node, torch.autograd.function.BackwardCFunction)}
    functions = {custom_function(kind) for kind in kinds}
    return {function for function in functions if not function.__module__.startswith(TRUSTED)}


class _Ends(TorchFunctionMode):
    """Notes the names of functions that take a tensor with a derivative, and return real numbers without one.

    Except for ``detach``, which ends forward derivatives too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        has_derivative = any(tensor.requires_grad for tensor in tensors_of((args, kwargs)))
        result = func(*args, **(kwargs or {}))
        ends = has_derivative and not any(tensor.requires_grad for tensor in tensors_of(result))
        if ends and func is not Tensor.detach and any(is_number(leaf) for leaf in leaves_of(result)):
            self.names.add(getattr(func, "__name__", repr(func)))
        return result


def is_differentiable_once_only(loss: LossModule, values: Values, batch: Any) -> bool:
    """Return whether a custom operation forbids a second derivative, which torch may silently take as zero."""
    leaves = {name: value.detach().requires_grad_() for name, value in values.items()}

    def gradient() -> list[Tensor]:
        return gradients(loss.value(batch, leaves), list(leaves.values()), create_graph=True)

    with torch.enable_grad():
        return forbids_more(loss.with_values(leaves, gradient))


def forbids_more(gradients: Sequence[Tensor]) -> bool:
    """Return whether a custom operation that made gradients is marked as once differentiable."""
    return any(node.name() == "torch::autograd::Error" for node in operations(gradients))


def operations(tensors: Sequence[Tensor], stops: Sequence[Any] = ()) -> Iterator[Any]:
    """Yield the operations that made these tensors, those not that are or made ``stops``, nor only by way of them."""
    nodes: list[Any] = [get_gradient_edge(tensor).node for tensor in tensors if tensor.requires_grad]
    seen = {*nodes, *stops}
    nodes = [node for node in nodes if node not in stops]
    while nodes:
        node = nodes.pop()
        yield node
        fresh = {function for function, _ in node.next_functions if function is not None} - seen
        seen |= fresh
        nodes += fresh
