"""Hessian and Gauss-Newton matrix of a physics-informed network: a loss without targets.

    python examples/pinn.py

takes about a minute on one core. A small network u(x, y) learns to solve the Poisson equation -Δu = f on the unit
square with u = 0 on its boundary, for the f whose solution is sin(πx) sin(πy). The loss is the mean of squared
residuals inside plus that of squared values on the boundary. Both parts of a batch are points, of different numbers,
and there are no targets. The network is small enough for the exact spectrum of both matrices. At the start, the
Hessian has negative eigenvalues, which the Gauss-Newton matrix cannot have. After training the residuals are near
zero: then both matrices agree on all large eigenvalues, and differ only where eigenvalues are tiny. The eigenvalues
spread over more than ten orders of magnitude, which is why such losses are hard to minimise.

Figure: all eigenvalues of the Hessian and of the Gauss-Newton matrix by their size, for a network that solves the
Poisson equation. Left: at the start. Right: after training, where both agree on the large ones. Triangles are
negative eigenvalues of the Hessian.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from record import parse, plt, save
from torch import Tensor, nn
from torch.func import hessian, vmap

from hessdens import Spectrum, exact_spectrum, ggn_operator, hessian_operator

Points = dict[str, Tensor]


def solution(points: Tensor) -> Tensor:
    """Return the exact u at points of shape (n, 2)."""
    return torch.sin(math.pi * points).prod(dim=1)


def forward(model: nn.Module, batch: Points) -> tuple[tuple[Tensor, Tensor], None]:
    """Return the residuals -Δu - f inside and u on the boundary; there are no targets."""
    laplacian = vmap(lambda x: hessian(lambda x: model(x).squeeze(-1))(x).diagonal().sum())(batch["inside"])
    residuals = -laplacian - 2 * math.pi**2 * solution(batch["inside"])
    return (residuals, model(batch["boundary"]).squeeze(-1)), None


def loss(outputs: tuple[Tensor, Tensor], _: None) -> Tensor:
    """Return the mean square inside plus that on the boundary."""
    inside, boundary = outputs
    return inside.square().mean() + boundary.square().mean()


def make_points(num_inside: int, num_boundary: int) -> Points:
    """Return random points inside the square and even ones on its sides."""
    generator = torch.Generator().manual_seed(0)
    inside = torch.rand(num_inside, 2, dtype=torch.float64, generator=generator)
    along = torch.linspace(0, 1, num_boundary // 4, dtype=torch.float64)
    sides = [torch.stack(side, dim=1) for end in (0.0, 1.0) for side in (
        (along, torch.full_like(along, end)), (torch.full_like(along, end), along)
    )]  # fmt: skip
    return {"inside": inside, "boundary": torch.cat(sides)}


def train(model: nn.Module, points: Points, steps: int) -> None:
    """Train by L-BFGS, which such losses need."""
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=steps, history_size=50, line_search_fn="strong_wolfe", tolerance_change=0.0
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(*forward(model, points))
        value.backward()
        return value

    optimizer.step(closure)


def spectra(model: nn.Module, points: Points) -> dict[str, Spectrum]:
    """Return the exact eigenvalues of both matrices."""
    # The loss is a sum of two means over different numbers of points: a batch must not be cut, and its weight in the
    # mean over batches must be given.
    # [decisive lines]
    arguments: Any = {"forward": forward, "num_examples": lambda batch: 1.0, "split_batches": False}
    makers = {"Hessian": hessian_operator, "Gauss-Newton": ggn_operator}
    return {name: exact_spectrum(make(model, loss, [points], **arguments)) for name, make in makers.items()}
    # [end]


def draw(found: dict[str, dict[str, Spectrum]], titles: list[str]) -> Any:
    """Return a figure: eigenvalues by rank, positive and negative, at the start and after training."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
    for ax, (when, both), title in zip(panels, found.items(), titles, strict=True):
        for (name, spectrum), colour in zip(both.items(), ("C0", "C1"), strict=True):
            for sign, marker in ((1, "o"), (-1, "v")):
                values = np.sort(sign * spectrum.eigenvalues)[::-1]
                values = values[values > 1e-13 * np.abs(spectrum.eigenvalues).max()]
                label = name if name == "Gauss-Newton" else f"{name}, {'positive' if sign > 0 else 'negative'}"
                if len(values) and not (sign < 0 and name == "Gauss-Newton"):
                    style = {
                        "ms": 5 if colour == "C0" else 2.5,
                        "ls": "",
                        "color": colour,
                        "mfc": colour if sign > 0 else "none",
                    }
                    ax.plot(np.arange(1, len(values) + 1), values, marker, label=label, **style)
        ax.set(yscale="log", xlabel="rank by magnitude", title=f"{when}: {title}")
        ax.title.set_fontsize(10)
        ax.legend(frameon=False, loc="upper right")
    panels[0].set_ylabel("|eigenvalue|")
    return figure


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Compare both matrices at the start and after training; return the numbers."""
    options = parse(__doc__, "pinn", argv)
    width, num_inside, num_boundary, steps = (4, 20, 16, 20) if options.small else (16, 400, 160, 1_000)
    points = make_points(num_inside, num_boundary)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
    ).double()
    found, titles, numbers = {}, [], {}
    grid = make_points(2_000, 4)["inside"]
    for when, count in (("at the start", 0), (f"after {steps:,} steps", steps)):
        if count:
            train(model, points, count)
        value = loss(*forward(model, points)).item()
        error = (model(grid).squeeze(-1) - solution(grid)).square().mean().sqrt().item()
        found[when] = both = spectra(model, points)
        titles.append(f"loss {value:.1e}, error of u {error:.1e}")
        H, G = (spectrum.eigenvalues for spectrum in both.values())
        numbers["trained" if count else "start"] = {
            "loss": value, "error": error, "largest": H[-1], "smallest": H[0],
            "negative": int(np.count_nonzero(1e-13 * H[-1] < -H)),
            "difference": float(np.abs(H - G).max() / np.abs(G).max()), "gauss_newton_smallest": G[0],
            "top_10_difference": float(np.abs(H[-10:] / G[-10:] - 1).max()),
            "above_rounding": int(np.count_nonzero(1e-13 * G[-1] < G)),
        }  # fmt: skip
        print(f"{when}: {titles[-1]}")
        for name, spectrum in both.items():
            low, high = spectrum.eigenvalues[[0, -1]]
            print(f"  {name:12s} from {low: .3e} to {high:.3e}")
    figure = draw(found, titles)
    return save(figure, options, {"parameters": len(H), "points": num_inside + num_boundary, "steps": steps, **numbers})


if __name__ == "__main__":
    main()
