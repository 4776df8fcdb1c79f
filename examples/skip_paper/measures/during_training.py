"""What is measured of R networks during training, for all at once; the exceptions are in `spectra.py`."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from skip_paper.networks.stacked import StackedNetworks

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
        ``train_accuracy`` (first 10,000 training examples), ``test_accuracy``; ``gradient_norm``, shape (R, layers):
        mean over examples of the norm of the gradient of the loss by the responses of a layer; ``weight_norm``: mean
        norm of the incoming weights of hidden units; ``overlap``: mean correlation of the incoming weights of two units
        of a layer; ``variance_explained``: by the top three eigenmodes of the units' covariance, mean over layers;
        ``zero_probability``: of responses, and ``zero_rectified``: of the outputs of their ReLU.
        Activities are those of the first 1,000 training examples.
    """
    weights = [networks.parameters[f"hidden.{l}.weight"].detach() for l in range(networks.depth)]  # noqa: E741
    arrays: dict[str, Tensor] = {
        "train_accuracy": accuracy(networks, *train),
        "test_accuracy": accuracy(networks, *test),
        "weight_norm": torch.stack([w.norm(dim=2).mean(dim=1) for w in weights]).mean(dim=0),
        "overlap": torch.stack([overlaps(w) for w in weights]).mean(dim=0),
        **_activities(networks, *(part[:ACTIVITY_EXAMPLES] for part in train)),
    }
    return {name: tensor.double().cpu().numpy() for name, tensor in arrays.items()}


@torch.no_grad()
def accuracy(networks: StackedNetworks, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the fraction of correct predictions on the first 10,000 examples, shape (R,)."""
    inputs, targets = inputs[:ACCURACY_EXAMPLES], targets[:ACCURACY_EXAMPLES]
    correct = torch.zeros(len(networks), device=inputs.device)
    for x, y in zip(inputs.split(CHUNK), targets.split(CHUNK), strict=True):
        correct += (networks(x).argmax(dim=2) == y).sum(dim=1)
    return correct / len(inputs)


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
    explained, zeros, rectified_zeros = [], [], []

    def look(response: Tensor, rectified: Tensor) -> None:
        response.retain_grad()
        responses.append(response)
        with torch.no_grad():
            explained.append(variance_explained(response.nan_to_num()))
            zeros.append((response == 0).double().mean(dim=(1, 2)))
            rectified_zeros.append((rectified == 0).double().mean(dim=(1, 2)))

    logits = networks(inputs, activities=look)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.repeat(len(networks)), reduction="sum")
    loss.backward()
    gradients = [response.grad for response in responses]
    for parameter in networks.parameters.values():
        parameter.grad = None
    return {
        "gradient_norm": torch.stack([g.norm(dim=2).mean(dim=1) for g in gradients if g is not None], dim=1),
        "variance_explained": torch.stack(explained).nanmean(dim=0),
        "zero_probability": torch.stack(zeros).mean(dim=0),
        "zero_rectified": torch.stack(rectified_zeros).mean(dim=0),
    }
