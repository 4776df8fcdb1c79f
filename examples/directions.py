"""Where the gradient, the update and the classes point while a small network learns.

    python examples/directions.py

takes about half a minute on one core. A network (64-32-10, tanh, cross-entropy) learns scikit-learn's handwritten
digits by SGD. At some steps the ten largest eigenvalues of the Hessian are found, with their eigenvectors. The figure
shows how much of three directions lies in the space of these vectors: the gradient of one mini-batch, the update of the
steps since the last record, and the mean gradients of the ten classes. A random direction would have 10 / N. The space
itself turns: its share in that of the record before is shown too. The last panel is the loss along the first
eigenvector, with what slope and curvature predict. Bands are limits that follow from the errors of the eigenvectors.
Source of the question: Gur-Ari, Roberts & Dyer (2018); Papyan (2019) for class means.

Figure: a network of 2,410 parameters learns digits. Top left: the ten largest eigenvalues of its Hessian over
training. Top right: how much of each direction lies in the space of their eigenvectors. Bottom left: how much of that
space is left of the one before. Bottom right: the loss along the first eigenvector at the end, with what slope and
curvature predict as dashes; crosses are where the prediction is off by more than 10%.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from record import parse, plt, save
from skip_paper.data.images import load_digits
from torch import Tensor, nn

from hessdens import eigenpairs, hessian_operator
from hessdens.curvature import CurvatureOperator
from hessdens.eigenvectors import LossSlice, loss_slice, overlap, subspace_angles
from hessdens.plotting import plot_slice
from hessdens.results import Eigenpairs

NUM_PAIRS = 10
BATCH = 50
RTOL = 1e-3
DIRECTIONS = ("mini-batch gradient", "update", "class means")


def shares(H: CurvatureOperator, pairs: Eigenpairs, update: Tensor, batch: Tensor) -> dict[str, list[float]]:
    """Return for each direction its share in the space of all eigenvectors, and its limits."""
    of_classes = [H.gradient(lambda pair, c=c: pair[1] == c) for c in range(10)]
    totals = [overlap(pairs, gradient).total for gradient in of_classes]
    weights = np.array([float(gradient.norm()) ** 2 for gradient in of_classes])
    found = {
        "mini-batch gradient": overlap(pairs, H.gradient(lambda pair: batch)).total,
        "class means": np.average(totals, axis=0, weights=weights),
    }
    if update.any():
        found["update"] = overlap(pairs, update).total
    return {name: total.tolist() for name, total in found.items()}


def train(data: tuple[Tensor, Tensor], width: int, records: Sequence[int]) -> tuple[list[dict[str, Any]], LossSlice]:
    """Return what each record shows, and the loss along the first eigenvector at the end."""
    inputs, targets = data
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 10))
    H = hessian_operator(model, nn.CrossEntropyLoss(), [data])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    rows: list[dict[str, Any]] = []
    last, before = None, H.flatten(dict(model.named_parameters()))
    for step in range(max(records) + 1):
        chosen = torch.randperm(len(inputs))[:BATCH]
        if step in records:
            pairs = eigenpairs(H, NUM_PAIRS, rtol=RTOL)
            now = H.flatten(dict(model.named_parameters()))
            mask = torch.zeros(len(inputs), dtype=torch.bool).index_fill(0, chosen, True)
            row = {"step": step, "loss": H.loss(), "values": pairs.values.tolist(), "products": pairs.num_products}
            row |= {"shares": shares(H, pairs, now - before, mask)}
            row |= {"shared": None if last is None else subspace_angles(last, pairs).shared}
            rows.append(row)
            last, before = pairs, now
            print(f"step {step}: loss {row['loss']:.3f}, largest eigenvalue {row['values'][0]:.2f}", flush=True)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen]).backward()
        optimizer.step()
    return rows, loss_slice(H, pairs.vectors[0])


def draw(rows: list[dict[str, Any]], curve: LossSlice, size: int) -> Any:
    """Return a figure of four panels."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    steps = [row["step"] for row in rows]
    axes[0, 0].plot(steps, [row["values"] for row in rows], color="C0", lw=1)
    axes[0, 0].set(yscale="log", ylabel="ten largest eigenvalues")
    for index, name in enumerate(DIRECTIONS):
        known = [(step, row["shares"][name]) for step, row in zip(steps, rows, strict=True) if name in row["shares"]]
        x, (middle, low, high) = [step for step, _ in known], np.array([total for _, total in known]).T
        axes[0, 1].plot(x, middle, ".-", color=f"C{index}", label=name)
        axes[0, 1].fill_between(x, low, high, color=f"C{index}", alpha=0.2, lw=0)
    axes[0, 1].axhline(NUM_PAIRS / size, color="0.5", ls=":", label="random direction")
    axes[0, 1].set(ylim=(0, 1.03), ylabel="share in the ten eigenvectors")
    axes[0, 1].legend(frameon=False, fontsize="small")
    later = [(step, row["shared"]) for step, row in zip(steps, rows, strict=True) if row["shared"] is not None]
    axes[1, 0].plot(*zip(*later, strict=True), ".-", color="C3")
    axes[1, 0].set(ylim=(0, 1.03), ylabel="share of the last ten that is kept")
    for ax in axes.flat[:3]:
        ax.set_xscale("symlog", linthresh=10)  # 0 is a step too
        ax.set(xlim=(0, 1.15 * max(steps)), xlabel="step")
    plot_slice(curve, ax=axes[1, 1])
    axes[1, 1].set_xlabel("offset along the first eigenvector")
    return figure


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, look at some steps, draw; return the numbers."""
    options = parse(__doc__, "directions", argv)
    width, num_examples, records = (6, 100, (0, 5, 10)) if options.small else (32, 1_000, (0, 10, 30, 100, 300, 1_000))
    images = load_digits()
    inputs = torch.from_numpy(images.train[0][:num_examples]).double() / 255
    targets = torch.from_numpy(images.train[1][:num_examples]).long()
    torch.set_default_dtype(torch.float64)
    try:
        rows, curve = train((inputs, targets), width, records)
    finally:
        torch.set_default_dtype(torch.float32)
    size = 64 * width + width + 10 * width + 10
    numbers = {"data": images.title, "parameters": size, "examples": num_examples, "records": rows}
    return save(
        draw(rows, curve, size),
        options,
        numbers | {"reach": [end if np.isfinite(end) else None for end in curve.reach()]},
    )


if __name__ == "__main__":
    main()
