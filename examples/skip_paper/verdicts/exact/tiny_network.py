"""A random network small enough for dense Hessians in float64, at which exact statements are tried."""

import math

import torch
from torch import Tensor

WIDTH, INPUTS, OUTPUTS, EXAMPLES = 3, 3, 5, 12
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "linear": lambda x: x}
SIZES = {"W0": (WIDTH, INPUTS), "W1": (WIDTH, WIDTH), "b1": (WIDTH,), "W2": (OUTPUTS, WIDTH)}


def split(vector: Tensor) -> dict[str, Tensor]:
    """Return the weights by name."""
    parts = vector.split([math.prod(shape) for shape in SIZES.values()])
    return {name: part.view(shape) for (name, shape), part in zip(SIZES.items(), parts, strict=True)}


def flatten(weights: dict[str, Tensor]) -> Tensor:
    """Return all weights as one vector."""
    return torch.cat([weights[name].reshape(-1) for name in SIZES])


def zeros() -> dict[str, Tensor]:
    """Return a direction of zeros."""
    return {name: torch.zeros(shape, dtype=torch.float64) for name, shape in SIZES.items()}


class Case:
    """A random network of two hidden layers, x2 = f(W1 x1 + b1) (+ x1), y = W2 x2, and data."""

    def __init__(self, seed: int, activation: str, *, skip: bool = False) -> None:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        self.weights = {name: draw(*shape) for name, shape in SIZES.items()}
        self.weights["W0"] /= 2
        self.x, self.y = draw(EXAMPLES, INPUTS), draw(EXAMPLES, OUTPUTS)
        self.f, self.skip = ACTIVATIONS[activation], skip

    def layers(self, w: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the responses of both hidden layers."""
        # The first layer is shifted so that ReLUs see all signs, and smooth, to be far from kinks.
        x1 = torch.tanh(self.x @ w["W0"].T) + 0.3
        return x1, self.f(x1 @ w["W1"].T + w["b1"]) + (x1 if self.skip else 0)

    def loss(self, vector: Tensor) -> Tensor:
        """Return the mean squared error at weights in one vector."""
        w = split(vector)
        return ((self.layers(w)[1] @ w["W2"].T - self.y) ** 2).sum() / (2 * EXAMPLES)

    def interpolate(self) -> None:
        """Let the targets be the outputs: the error is zero."""
        self.y = self.layers(self.weights)[1] @ self.weights["W2"].T

    def hessian(self) -> Tensor:
        """Return the Hessian at the weights."""
        return torch.func.hessian(self.loss)(flatten(self.weights))

    def back(self) -> Tensor:
        """Return delta, the error at the outputs, (examples, OUTPUTS)."""
        return self.layers(self.weights)[1] @ self.weights["W2"].T - self.y

    def overlap(self) -> None:
        """Let two units have the same incoming weights."""
        self.weights["W1"][1], self.weights["b1"][1] = self.weights["W1"][0], self.weights["b1"][0]


def incoming_change(case: Case, c: Tensor, unit: int) -> tuple[Tensor, Tensor]:
    """Return E[(c . delta) f'(J x + b) (x, 1)] of a unit."""
    x1 = case.layers(case.weights)[0]
    inputs = (x1 @ case.weights["W1"][unit] + case.weights["b1"][unit]).requires_grad_()
    (slopes,) = torch.autograd.grad(case.f(inputs).sum(), inputs)
    factor = (case.back() @ c) * slopes / EXAMPLES
    return factor @ x1, factor.sum()


def exchange(c: Tensor) -> Tensor:
    """Return the direction that moves c of outgoing weight from unit 1 to unit 0."""
    direction = zeros()
    direction["W2"][:, 0], direction["W2"][:, 1] = c, -c
    return flatten(direction)


def exchanges() -> Tensor:
    """Return all such directions as columns."""
    return torch.stack([exchange(c) for c in torch.eye(OUTPUTS).double()], dim=1)


def null_amounts(case: Case) -> Tensor:
    """Return c != 0 whose moving is a null direction at any error: one of OUTPUTS > WIDTH + 1 must exist."""
    rows = [
        torch.cat([change, bias[None]])
        for change, bias in (incoming_change(case, c, 0) for c in torch.eye(OUTPUTS).double())
    ]
    left, values, _ = torch.linalg.svd(torch.stack(rows))
    assert len(values) == WIDTH + 1 < OUTPUTS
    return left[:, -1]
