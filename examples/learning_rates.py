"""Largest eigenvalue along training with several learning rates of gradient descent: the edge of stability.

    python examples/learning_rates.py

takes about a minute on one core. A network (64-32-32-10, tanh, squared error) learns scikit-learn's handwritten
digits by gradient descent with the whole data set in each step. The figure shows what Cohen et al. (2021) describe.
The largest eigenvalue of the Hessian, the sharpness, grows while the loss falls ("progressive sharpening"), until it
reaches 2 / (learning rate). Above that, gradient descent on a quadratic function diverges. There the sharpness stays,
just above the line, while the loss keeps falling, but not in each step. With a very small learning rate the line is
not reached, and there is growth alone. One operator serves for the whole run: it sees the model as it is when a
product is made.

Figure: a network learns digits by gradient descent with three learning rates. Top: the training loss. Bottom: the
largest eigenvalue of the Hessian; dashed lines are 2 / (learning rate).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from record import parse, plt, save
from scipy.sparse.linalg import eigsh
from skip_paper.data.images import load_digits
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hessdens import hessian_operator
from hessdens.linalg import Operator

# With the first, the sharpness stops growing before it reaches 2 / (learning rate).
LEARNING_RATES = (0.2, 0.4, 0.8)
TOLERANCE = 1e-3


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over examples of half the squared distance, as in Cohen et al."""
    return 0.5 * (outputs - targets).square().sum(dim=1).mean()


def sharpness(H: Operator, start: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the largest eigenvalue and its eigenvector, from which the next search starts."""
    values, vectors = eigsh(H.to_scipy(), k=1, which="LA", v0=start, tol=TOLERANCE)
    return float(values[0]), vectors[:, 0]


def descend(learning_rate: float, data: tuple[Tensor, Tensor], width: int, steps: int, every: int) -> dict[str, Any]:
    """Return steps, losses and sharpness along one training run."""
    torch.manual_seed(0)
    layers = [nn.Linear(data[0].shape[1], width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 10)]
    model = nn.Sequential(*layers)
    # [decisive lines]
    H = hessian_operator(model, mean_squared_error, [data])
    vector = np.random.default_rng(0).standard_normal(H.size).astype(np.float32)
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    found: dict[str, Any] = {"steps": [], "losses": [], "sharpness": []}
    for step in range(steps + 1):
        optimizer.zero_grad()
        loss = mean_squared_error(model(data[0]), data[1])
        if step % every == 0:
            value, vector = sharpness(H, vector)
            # [end]
            for name, entry in zip(found, (step, loss.item(), value), strict=True):
                found[name].append(entry)
        loss.backward()
        optimizer.step()
    print(
        f"learning rate {learning_rate}: loss {found['losses'][-1]:.4f}, largest eigenvalue "
        f"{found['sharpness'][-1]:.2f}, 2 / learning rate {2 / learning_rate:.2f}",
        flush=True,
    )
    return {**found, "parameters": H.size}


def draw(runs: dict[float, dict[str, Any]]) -> Any:
    """Return a figure: loss and sharpness over steps, with the line 2 / (learning rate) of each run."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(7.5, 6.5), sharex=True, layout="constrained")
    for index, (rate, run) in enumerate(runs.items()):
        style = {"color": f"C{index}", "label": f"learning rate {rate:g}"}
        top.plot(run["steps"], run["losses"], lw=1.3, **style)
        bottom.plot(run["steps"], run["sharpness"], lw=1.3, **style)
        bottom.axhline(2 / rate, color=style["color"], ls="--", lw=1)
        bottom.annotate(
            f"2 / {rate:g}", (1, 2 / rate), xycoords=("axes fraction", "data"), xytext=(4, 0), color=style["color"],
            textcoords="offset points", va="center", fontsize=9,
        )  # fmt: skip
    top.set(yscale="log", ylabel="training loss")
    top.legend(frameon=False)
    bottom.set(xlabel="step of full-batch gradient descent", ylabel="largest eigenvalue of the Hessian")
    bottom.set_ylim(bottom=0)
    return figure


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train with each learning rate, draw; return the numbers."""
    options = parse(__doc__, "learning_rates", argv)
    width, num_examples, steps, every = (8, 100, 60, 10) if options.small else (32, 1_000, 3_000, 25)
    images = load_digits()
    inputs = torch.from_numpy(images.train[0][:num_examples]).float() / 255
    inputs = (inputs - inputs.mean(dim=0)) / inputs.std()
    targets = F.one_hot(torch.from_numpy(images.train[1][:num_examples]), 10).float()
    runs = {rate: descend(rate, (inputs, targets), width, steps, every) for rate in LEARNING_RATES}
    summary = {}
    for rate, run in runs.items():
        late = np.array(run["sharpness"][len(run["sharpness"]) // 2 :])
        summary[str(rate)] = {
            "start": run["sharpness"][0], "second_half": [float(late.min()), float(np.median(late)), float(late.max())],
            "threshold": 2 / rate, "loss": run["losses"][-1],
        }  # fmt: skip
    return save(draw(runs), options, {
        "data": images.title, "parameters": runs[LEARNING_RATES[0]]["parameters"], "examples": num_examples,
        "steps": steps, "runs": summary,
    })  # fmt: skip


if __name__ == "__main__":
    main()
