"""Inner products of the gradients of all rows in one parameter, without these gradients where factors serve."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

# Numbers of gradients that are in memory at once where factors are multiplied out: 256 MB in float64.
ENTRIES_PER_CHUNK = 2**25


@dataclass
class Factors:
    """Gradients D_i^T X of a parameter of a linear map: those at its outputs, and its inputs, for each block.

    ``inputs`` has X of shape (T, n) for each block, None for a bias, whose inputs are 1; ``gradients`` D of shape (r,
    T, m). Several uses in one block are one after the other along T.
    """

    inputs: list[Tensor | None] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)

    def add(self, uses: Sequence[tuple[Tensor | None, Tensor]]) -> None:
        """Take all uses in one block."""
        inputs = [X for X, _ in uses if X is not None]
        self.inputs.append(torch.cat(inputs) if inputs else None)
        self.gradients.append(torch.cat([D for _, D in uses], dim=1))

    def gram(self) -> Tensor:
        """Return the inner products of all rows, in float64, shape (rows, rows)."""
        places = torch.cat([torch.full((len(D),), block) for block, D in enumerate(self.gradients)])
        D = _padded([D.transpose(0, 1) for D in self.gradients])  # T first
        if self.inputs[0] is None:
            sums = D.double().sum(dim=0)
            return sums @ sums.T
        X = _padded([X[:, None] for X in self.inputs if X is not None])
        T, rows, m = D.shape
        n = X.shape[-1]
        by_factors = T**2 * (rows * m + len(self.inputs) ** 2 * n / rows)
        multiplied_out = n * m * (T + rows)
        return _by_factors(X, D, places) if by_factors <= multiplied_out else _multiplied_out(X, D, places)


def _padded(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors of shape (T, r, m), joined along their second axis; shorter ones are followed by zeros."""
    longest = max(len(tensor) for tensor in tensors)
    return torch.cat([torch.nn.functional.pad(part, (0, 0, 0, 0, 0, longest - len(part))) for part in tensors], dim=1)


def _by_factors(X: Tensor, D: Tensor, places: Tensor) -> Tensor:
    """Return sums over t, s of (D_i,t · D_j,s) (X_t · X_s)."""
    total = torch.zeros(D.shape[1], D.shape[1], dtype=torch.float64, device=D.device)
    X, D = X.double(), D.double()
    for t in range(len(X)):
        for s in range(t + 1):
            inputs = X[t] @ X[s].T
            part = (D[t] @ D[s].T).mul_(inputs[places][:, places])
            total += part if s == t else part + part.T
    return total


def _multiplied_out(X: Tensor, D: Tensor, places: Tensor) -> Tensor:
    """Return inner products of gradients that are made, some outputs of the map at a time."""
    _, rows, m = D.shape
    total = torch.zeros(rows, rows, dtype=torch.float64, device=D.device)
    own = X[:, places].permute(1, 0, 2).double()  # (rows, T, n)
    step = max(1, ENTRIES_PER_CHUNK // (rows * X.shape[-1]))
    for start in range(0, m, step):
        part = D[:, :, start : start + step].permute(1, 2, 0).double()  # (rows, step, T)
        gradients = (part @ own).flatten(start_dim=1)
        total.addmm_(gradients, gradients.T)
    return total
