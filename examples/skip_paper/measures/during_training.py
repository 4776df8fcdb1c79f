"""What is measured of R networks during training, for all at once; the exceptions are in `spectra.py`."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from skip_paper.networks.stacked import StackedNetworks
from skip_paper.networks.training import BATCH_SIZE

ACCURACY_EXAMPLES = 10_000
ACTIVITY_EXAMPLES = 1_000
TOP_MODES = 3
CHUNK = 1_000
Arrays = dict[str, np.ndarray[Any, Any]]


def measure(networks: StackedNetworks, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> Arrays:
    """Return all cheap measurements, each with a first axis of length R.

    Returns
    -------
    dict
        ``train_accuracy``, ``train_loss`` (first 10,000 training examples) and ``test_accuracy``, shape (R,).

        By hidden layer, shape (R, layers): ``gradient_norm``, mean over examples of the norm of the gradient of the
        loss by the responses of a layer, where the loss is the mean over a batch of 500, as in the paper;
        ``weight_norm``, mean norm of the incoming weights of units; ``overlap``, mean correlation of the incoming
        weights of two units; ``bias``, their mean; ``variance_explained`` by the top three eigenmodes of the units'
        covariance; ``zero_probability`` of responses, and ``zero_rectified`` of the outputs of their ReLU;
        ``dead_units``, the fraction of units whose ReLU gives 0 for every example. Activities are those of the first
        1,000 training examples.
    """
    layers = range(networks.depth)
    weights = [networks.parameters[f"hidden.{l}.weight"].detach() for l in layers]  # noqa: E741
    biases = [networks.parameters[f"hidden.{l}.bias"].detach() for l in layers]  # noqa: E741
    accuracy, loss = accuracy_and_loss(networks, *train)
    arrays: dict[str, Tensor] = {
        "train_accuracy": accuracy,
        "train_loss": loss,
        "test_accuracy": accuracy_and_loss(networks, *test)[0],
        "weight_norm": torch.stack([w.norm(dim=2).mean(dim=1) for w in weights], dim=1),
        "overlap": torch.stack([overlaps(w) for w in weights], dim=1),
        "bias": torch.stack([b.mean(dim=1) for b in biases], dim=1),
        **_activities(networks, *(part[:ACTIVITY_EXAMPLES] for part in train)),
    }
    return {name: tensor.double().cpu().numpy() for name, tensor in arrays.items()}


@torch.no_grad()
def accuracy_and_loss(networks: StackedNetworks, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the fraction of correct predictions on the first 10,000 examples and their mean loss, shape (R,)."""
    inputs, targets = inputs[:ACCURACY_EXAMPLES], targets[:ACCURACY_EXAMPLES]
    correct, loss = torch.zeros(2, len(networks), device=inputs.device)
    for x, y in zip(inputs.split(CHUNK), targets.split(CHUNK), strict=True):
        logits = networks(x)
        correct += (logits.argmax(dim=2) == y).sum(dim=1)
        losses = F.cross_entropy(logits.flatten(0, 1), y.repeat(len(networks)), reduction="none")
        loss += losses.view(len(networks), -1).sum(dim=1)
    return correct / len(inputs), loss / len(inputs)


def overlaps(weights: Tensor) -> Tensor:
    """Return the mean correlation of pairs of rows of matrices of shape (R, units, inputs), shape (R,).

    The sum over pairs follows from the norm of the sum of the standardised rows.
    """
    count = weights.shape[1]
    rows = F.normalize(weights - weights.mean(dim=2, keepdim=True), dim=2)
    return (rows.sum(dim=1).square().sum(dim=1) - rows.square().sum(dim=(1, 2))) / (count * (count - 1))


def variance_explained(responses: Tensor) -> Tensor:
    """Return the share of the top three eigenmodes of the covariance, of responses (R, examples, units)."""
    centred = (responses - responses.mean(dim=1, keepdim=True)).double()
    values = torch.linalg.svdvals(centred.mT @ centred)
    total = values.sum(dim=1)
    # Units that are all dead have no variance: nothing to explain.
    return torch.where(total > 0, values[:, :TOP_MODES].sum(dim=1) / total, torch.nan)


def _activities(networks: StackedNetworks, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    responses: list[Tensor] = []
    found: dict[str, list[Tensor]] = {
        name: [] for name in ("variance_explained", "zero_probability", "zero_rectified", "dead_units")
    }

    def look(response: Tensor, rectified: Tensor) -> None:
        response.retain_grad()
        responses.append(response)
        with torch.no_grad():
            zero = rectified == 0
            found["variance_explained"].append(variance_explained(response.nan_to_num()))
            found["zero_probability"].append((response == 0).double().mean(dim=(1, 2)))
            found["zero_rectified"].append(zero.double().mean(dim=(1, 2)))
            found["dead_units"].append(zero.all(dim=1).double().mean(dim=1))

    # Gradients are those of training: a normalised layer has the statistics of these examples.
    logits = networks(inputs, statistics="batch", activities=look)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.repeat(len(networks)), reduction="sum") / BATCH_SIZE
    loss.backward()
    gradients = [response.grad for response in responses]
    for parameter in networks.parameters.values():
        parameter.grad = None
    return {
        "gradient_norm": torch.stack([g.norm(dim=2).mean(dim=1) for g in gradients if g is not None], dim=1),
        **{name: torch.stack(values, dim=1) for name, values in found.items()},
    }
