"""What a case of the zoo is: a call of an operator, and what it must give: a matrix or an error by name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

LABELS = torch.tensor([0, 1, 2, 1, 0])
LENGTHS = (3, 2)


@dataclass(frozen=True)
class Situation:
    """The arguments of an operator, and what the slow reference needs to know besides.

    Attributes
    ----------
    options
        Keyword arguments of the operator.
    batches
        The batches as a list, where ``data`` is no list.
    weights
        Weight of each batch in the mean. Default: the length of its last tensor.
    twin
        A model with the same parameters that torch differentiates right, where the model itself is not such.
    twin_loss
        The same for the loss function.
    then
        What is done with the operator; ``then_matrix`` does it with the matrix.
    """

    model: nn.Module
    loss_fn: Any
    data: Any
    options: dict[str, Any] = field(default_factory=dict)
    batches: list[Any] | None = None
    weights: list[float] | None = None
    twin: nn.Module | None = None
    twin_loss: Any = None
    then: Callable[[Any], Any] = lambda operator: operator
    then_matrix: Callable[[Tensor], Tensor] = lambda matrix: matrix


@dataclass(frozen=True)
class Case:
    """A named situation.

    Attributes
    ----------
    make
        Returns the situation, new each time, in the default dtype of the moment.
    operators
        "hessian", "ggn", "fisher" (exact) and "empirical" (the empirical Fisher matrix).
    refusal
        Pattern of the error's message, where an error by name is right.
    either
        Whether the right matrix is right too, where there is a refusal.
    warning
        Pattern of warnings that the user may get.
    differences
        Whether central differences, within their own error and with a warning, are right.
    by_differences
        Whether the reference takes differences of gradients in float64, since torch has no second derivative.
    blocks
        Examples in a block, which take turns.
    """

    name: str
    make: Callable[[], Situation]
    operators: tuple[str, ...] = ("hessian", "ggn")
    refusal: str | None = None
    either: bool = False
    warning: str | None = None
    differences: bool = False
    by_differences: bool = False
    dtypes: tuple[torch.dtype, ...] = (torch.float64, torch.float32)
    blocks: tuple[int | None, ...] = (1, 3, None)


def refused(name: str, match: str, make: Callable[[], Situation], operators=("hessian",), **keywords: Any) -> Case:
    """Return a case whose right answer is an error with this message."""
    return Case(name, make, operators, refusal=match, **keywords)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Return normal numbers that float32 can hold, the same in each dtype."""
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return numbers.float().to(torch.get_default_dtype())


def filled(model: nn.Module, scale: float = 0.5, seed: int = 7) -> nn.Module:
    """Return the model in evaluation mode with parameters that are the same in each dtype."""
    with torch.no_grad():
        for index, parameter in enumerate(p for p in model.parameters() if p.is_floating_point()):
            parameter.copy_(scale * normal(*parameter.shape, seed=seed + index))
    return model.eval()


def pairs(inputs: Tensor, targets: Tensor, lengths=LENGTHS) -> list[tuple[Tensor, Tensor]]:
    """Return both cut into batches."""
    return list(zip(inputs.split(list(lengths)), targets.split(list(lengths)), strict=True))


def plain(model: nn.Module, loss_fn: Any, inputs: Tensor, targets: Tensor, **options: Any) -> Situation:
    """Return the usual situation: pairs of inputs and targets in two batches."""
    return Situation(filled(model), loss_fn, pairs(inputs, targets), options)


def classify(name: str, shape: tuple[int, ...], build: Callable[[], list[nn.Module]], **keywords: Any) -> Case:
    """Return a case of a chain of layers under the cross-entropy."""
    return Case(
        name, lambda: plain(nn.Sequential(*build()), nn.CrossEntropyLoss(), normal(5, *shape), LABELS), **keywords
    )


def regress(name: str, shape: tuple[int, ...], outputs: int, build: Callable[[], nn.Module], **keywords: Any) -> Case:
    """Return a case of a model under the mean squared error."""
    return Case(name, lambda: plain(build(), nn.MSELoss(), normal(5, *shape), normal(5, outputs, seed=1)), **keywords)


class Module(nn.Module):
    """A model made of named modules and parameters, and a function ``forward(self, x)``."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def free(*shape: int) -> nn.Parameter:
    """Return a parameter, to be filled."""
    return nn.Parameter(torch.zeros(shape))
