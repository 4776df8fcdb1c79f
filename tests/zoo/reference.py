"""The matrices of a situation, slow and obvious: loops over entries, whole batches, float64, nothing of hessdens."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten
from zoo.cases import Situation


def matrix(kind: str, situation: Situation, *, by_differences: bool = False) -> tuple[dict[str, int], Tensor]:
    """Return sizes of the trainable parameters by name, and the matrix over all of their entries."""
    model = situation.twin or situation.model
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    leaves = list(named.values())
    makers = {"hessian": hessian_by_differences if by_differences else hessian, "ggn": ggn, "fisher": fisher,
              "empirical": empirical}  # fmt: skip
    with sdpa_kernel(SDPBackend.MATH):  # torch's other kernels of attention have no second derivative
        dense = makers[kind](situation, model, leaves)
    sizes = {name.replace("_orig_mod.", ""): count(parameter) for name, parameter in named.items()}
    return sizes, situation.then_matrix(dense)


def count(parameter: Tensor) -> int:
    """Return the real numbers in a parameter."""
    return parameter.numel() * (2 if parameter.is_complex() else 1)


def hessian(situation: Situation, model: nn.Module, leaves: list[Tensor]) -> Tensor:
    """Return the Hessian of the weighted mean loss, entry by entry."""
    return second_derivatives(mean_loss(situation, model), leaves)


def hessian_by_differences(situation: Situation, model: nn.Module, leaves: list[Tensor], step: float = 2e-3) -> Tensor:
    """Return the Hessian by sixth-order central differences of the gradient."""
    columns = []
    for leaf in leaves:
        for i in range(leaf.numel()):
            start = leaf.detach().clone()
            gradients = {}
            for k in (-3, -2, -1, 1, 2, 3):
                shift = torch.zeros(leaf.numel(), dtype=leaf.dtype)
                shift[i] = k * step
                with torch.no_grad():
                    leaf.copy_(start + shift.view(leaf.shape))
                gradients[k] = flat(first_derivatives(mean_loss(situation, model), leaves), leaves).detach()
            with torch.no_grad():
                leaf.copy_(start)
            steps = zip((1, 2, 3), (45, -9, 1), strict=True)
            columns.append(sum(factor * (gradients[k] - gradients[-k]) for k, factor in steps) / (60 * step))
    return torch.stack(columns, dim=1)


def ggn(situation: Situation, model: nn.Module, leaves: list[Tensor]) -> Tensor:
    """Return the mean of J^T B J: Jacobian of the outputs row by row, Hessian of the loss in them entry by entry."""

    def of_batch(batch: Any) -> Tensor:
        outputs, targets = forward(situation, model, batch)
        parts, structure = tree_flatten(outputs)
        jacobian = jacobian_of(parts, leaves)
        points = [part.detach().clone().requires_grad_() for part in parts]
        loss_fn = situation.twin_loss or situation.loss_fn
        bend = second_derivatives(loss_fn(tree_unflatten(points, structure), targets), points)
        return jacobian.T @ bend @ jacobian

    return mean(situation, of_batch)


def fisher(situation: Situation, model: nn.Module, leaves: list[Tensor]) -> Tensor:
    """Return the mean over rows of E[g g^T], labels drawn from what the model predicts."""
    logarithmic = isinstance(situation.loss_fn, nn.NLLLoss)
    if not logarithmic and not isinstance(situation.loss_fn, nn.CrossEntropyLoss):
        return ggn(situation, model, leaves)  # equal for the squared error and the binary cross-entropy

    def of_batch(batch: Any) -> Tensor:
        outputs, _ = forward(situation, model, batch)
        logs = outputs if logarithmic else outputs.log_softmax(dim=1)
        gradients = jacobian_of([logs], leaves)
        return gradients.T @ (gradients * logs.detach().exp().reshape(-1, 1)) / logs[:, 0].numel()

    return mean(situation, of_batch)


def empirical(situation: Situation, model: nn.Module, leaves: list[Tensor]) -> Tensor:
    """Return the mean over rows of g g^T with the targets in the data."""

    def of_batch(batch: Any) -> Tensor:
        inputs, targets = batch
        rows = []
        for i in range(len(targets)):
            if bool((targets[i] == -100).all()):
                continue
            value = situation.loss_fn(model(inputs[i : i + 1]), targets[i : i + 1])
            rows.append(flat(first_derivatives(value, leaves), leaves).detach())
        gradients = torch.stack(rows)
        return gradients.T @ gradients / len(rows)

    return mean(situation, of_batch)


def mean_loss(situation: Situation, model: nn.Module) -> Tensor:
    """Return the loss of the whole data."""
    loss_fn = situation.twin_loss or situation.loss_fn
    return mean(situation, lambda batch: loss_fn(*forward(situation, model, batch)))


def mean(situation: Situation, of_batch: Any) -> Tensor:
    """Return the weighted mean over batches of weight above 0."""
    batches = situation.data if situation.batches is None else situation.batches
    weights = [len(batch[1]) for batch in batches] if situation.weights is None else situation.weights
    parts = [w * of_batch(batch) for w, batch in zip(weights, batches, strict=True) if w > 0]
    return torch.stack(parts).sum(dim=0) / sum(weights)


def forward(situation: Situation, model: nn.Module, batch: Any) -> tuple[Any, Any]:
    """Return outputs and targets, from the buffers that the model has: a forward pass writes to copies."""
    buffers = [(module, name, b) for module in model.modules() for name, b in module._buffers.items() if b is not None]
    for module, name, buffer in buffers:
        module._buffers[name] = buffer.clone()
    if "forward" in situation.options:
        result = situation.options["forward"](model, batch)
    else:
        result = model(batch[0]), batch[1]
    for module, name, buffer in buffers:
        module._buffers[name] = buffer
    return result


def jacobian_of(outputs: list[Tensor], leaves: list[Tensor]) -> Tensor:
    """Return the derivatives of all entries of the outputs, a row each."""
    entries = [entry for output in outputs for entry in output.reshape(-1)]
    return torch.stack([flat(first_derivatives(entry, leaves, keep=True), leaves).detach() for entry in entries])


def second_derivatives(value: Tensor, leaves: list[Tensor]) -> Tensor:
    """Return the Hessian of a scalar, a row at a time."""
    gradient = flat(first_derivatives(value, leaves, create_graph=True), leaves)
    rows = [flat(first_derivatives(entry, leaves, keep=True), leaves).detach() for entry in gradient]
    return torch.stack(rows)


def first_derivatives(value: Tensor, leaves: list[Tensor], *, create_graph: bool = False, keep: bool = False) -> Any:
    """Return the gradient of a scalar, None for leaves that it does not depend on."""
    if not value.requires_grad:
        return [None] * len(leaves)
    return torch.autograd.grad(value, leaves, create_graph=create_graph, retain_graph=keep or create_graph,
                               allow_unused=True)  # fmt: skip


def flat(gradients: Any, leaves: list[Tensor]) -> Tensor:
    """Return one vector, a complex number as two reals."""
    pieces = []
    for gradient, leaf in zip(gradients, leaves, strict=True):
        piece = torch.zeros_like(leaf) if gradient is None else gradient
        piece = piece.to_dense() if piece.is_sparse else piece
        pieces.append((torch.view_as_real(piece) if piece.is_complex() else piece).reshape(-1).double())
    return torch.cat(pieces)


def focal(z: Tensor, targets: Tensor) -> Tensor:
    """Return the focal loss with exponent 2."""
    logs = F.log_softmax(z, dim=1).gather(1, targets.unsqueeze(1))
    return -((1 - logs.exp()).square() * logs).mean()
