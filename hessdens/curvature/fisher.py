"""Fisher matrices as Gauss-Newton matrices of a quadratic loss made from gradients at the outputs.

Let u_i be the gradient of prediction i's negative log-likelihood at the outputs z_i, taken as a constant. The loss
mean_i (u_i·z_i)^2 / 2 has the Hessian mean_i u_i u_i^T in the outputs. So its Gauss-Newton matrix is the mean of
g_i g_i^T for the gradients g_i = J_i^T u_i in the parameters.
"""

import math
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from hessdens._checks import at_least
from hessdens.curvature.checks import present
from hessdens.curvature.containers import batch_length, slice_batch, tensors_of
from hessdens.curvature.engines.loss_module import LossModule, without_graph
from hessdens.curvature.problem import Problem

Kind = Literal["exact", "monte-carlo", "empirical"]
Likelihood = Literal["logits", "log-probabilities", "gaussian", "bernoulli"]
LIKELIHOODS: dict[Any, Likelihood] = {
    **dict.fromkeys((nn.CrossEntropyLoss, F.cross_entropy), "logits"),
    **dict.fromkeys((nn.NLLLoss, F.nll_loss), "log-probabilities"),
    **dict.fromkeys((nn.MSELoss, F.mse_loss), "gaussian"),
    **dict.fromkeys((nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits), "bernoulli"),
}
CATEGORICAL = ("logits", "log-probabilities")


def fisher_problem(problem: Problem, kind: str, num_samples: int, seed: int) -> Problem:
    """Return the problem whose Gauss-Newton matrix is the Fisher matrix of ``problem``."""
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {get_args(Kind)}; got {kind!r}.")
    at_least("num_samples", num_samples, 1)
    loss = problem.loss
    likelihood = _likelihood(loss.loss_fn)
    if likelihood is None and kind != "empirical":
        raise ValueError(
            "The Fisher matrix needs a negative log-likelihood: nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss or "
            "nn.BCEWithLogitsLoss, or their functions, without weights and label smoothing; "
            f"got {loss.name}. Use ggn_operator, or kind='empirical'."
        )
    _check_outputs(loss, problem.passes.first_batch)
    if kind == "empirical":
        if likelihood not in CATEGORICAL:
            _check_equal_weights(problem)
        return replace(problem, loss=loss.with_loss(_Empirical(loss, likelihood)))
    if kind == "monte-carlo":
        return _with_keys(problem, _Sampled(likelihood, _ignored(loss.loss_fn), num_samples), seed)
    if likelihood == "log-probabilities":
        return replace(problem, loss=loss.with_loss(_ExactOfLogProbabilities(_ignored(loss.loss_fn))))
    return problem


def _likelihood(loss_fn: Any) -> Likelihood | None:
    """Return what ``loss_fn`` is the negative logarithm of, None if it is not known to be one."""
    weighted = any(getattr(loss_fn, name, None) is not None for name in ("weight", "pos_weight"))
    if weighted or float(getattr(loss_fn, "label_smoothing", 0)) > 0:
        return None
    kinds = (kind for known, kind in LIKELIHOODS.items() if loss_fn is known or type(loss_fn) is known)
    return next(kinds, None)


def _ignored(loss_fn: Any) -> int:
    """Return the class that marks targets to leave out."""
    return int(getattr(loss_fn, "ignore_index", -100))


def _check_outputs(loss: LossModule, batch: Any) -> None:
    outputs, _ = without_graph(lambda: loss.outputs(batch, present(loss)))
    if not isinstance(outputs, Tensor) or outputs.ndim == 0:
        received = "a scalar" if isinstance(outputs, Tensor) else type(outputs).__name__
        rule = "The Fisher matrix needs outputs that are one tensor with a row for each example"
        raise ValueError(f"{rule}; got {received}. Return it from forward=.")


def _check_equal_weights(problem: Problem) -> None:
    """Raise ValueError unless all examples of the first batch have one weight, as the rows of the outputs have."""
    batch = problem.passes.first_batch
    if not problem.splits:
        _check_mean_of_rows(problem.loss, batch)
        return
    weights = sorted({problem.weight(slice_batch(batch, i, i + 1)) for i in range(batch_length(batch))})
    if len(weights) > 1:
        raise ValueError(
            f"The empirical Fisher matrix of {problem.loss.name} needs the same weight for all examples; num_examples "
            f"gives {weights[0]:g} and {weights[-1]:g}. Use nn.CrossEntropyLoss or nn.NLLLoss, whose ignored targets "
            "are known, or kind='exact'."
        )


def _check_mean_of_rows(loss: LossModule, batch: Any) -> None:
    """Raise ValueError if the loss of a batch that must not be cut is no mean over the rows of its outputs."""
    outputs, targets = without_graph(lambda: loss.outputs(batch, present(loss)))
    rows = len(outputs)
    if not isinstance(targets, Tensor) or targets.shape[:1] != (rows,) or rows == 1:
        return
    first = -(-rows // 3)  # parts of unequal lengths
    parts = [(first, slice(first)), (rows - first, slice(first, None)), (rows, slice(None))]
    with torch.no_grad():
        sums = [number * float(loss.loss_of(outputs[part], targets[part])) for number, part in parts]
    if not math.isclose(sums[0] + sums[1], sums[2], rel_tol=torch.finfo(outputs.dtype).eps ** 0.5):
        raise ValueError(
            f"The empirical Fisher matrix of {loss.name} needs a mean over the rows of the outputs; this loss has "
            "other weights. Use nn.CrossEntropyLoss or nn.NLLLoss, whose ignored targets are known, or kind='exact'."
        )


def _half_mean_square(u: Tensor, z: Tensor, dim: int | None, mask: Tensor | None = None) -> Tensor:
    """Return half the mean of (u·z)^2 over masked predictions, u·z summed over one dimension (None: no sum)."""
    products = u * z if dim is None else (u * z).sum(dim=dim)
    squares = products.square()
    return squares.mean() / 2 if mask is None else (squares * mask).sum() / mask.expand_as(squares).sum() / 2


class _Empirical:
    """The quadratic loss from gradients with the given targets."""

    def __init__(self, loss: LossModule, likelihood: Likelihood | None) -> None:
        self._loss, self._likelihood = loss, likelihood

    def __call__(self, z: Tensor, targets: Any) -> Tensor:
        gradient: Tensor = torch.func.grad(self._loss.loss_of)(z.detach(), targets)
        if self._likelihood in CATEGORICAL and not targets.is_floating_point():
            mask = targets != _ignored(self._loss.loss_fn)
            return _half_mean_square(gradient * mask.sum(), z, dim=z.ndim - 1 if z.ndim == 1 else 1, mask=mask)
        rows = z.flatten(start_dim=1) if z.ndim > 1 else z.unsqueeze(1)
        return _half_mean_square(gradient.reshape(rows.shape) * len(z), rows, dim=1)


class _ExactOfLogProbabilities:
    """A loss whose Hessian is E[e_y e_y^T] = diag(p) in the log-probabilities, the gradient of -z_y being -e_y."""

    def __init__(self, ignored: int) -> None:
        self._ignored = ignored

    def __call__(self, z: Tensor, targets: Tensor) -> Tensor:
        mask = targets != self._ignored
        squares = (z.detach().exp() * z.square()).sum(dim=1)
        return (squares * mask).sum() / mask.sum() / 2


class _Sampled:
    """The quadratic loss from gradients with labels drawn from what the model predicts."""

    def __init__(self, likelihood: Likelihood | None, ignored: int, num_samples: int) -> None:
        self._likelihood = likelihood
        self._ignored = ignored
        self._num_samples = num_samples

    def __call__(self, z: Tensor, targets: tuple[Tensor, Tensor]) -> Tensor:
        labels, keys = targets
        if self._likelihood not in CATEGORICAL:
            scores = self._score(z.detach(), uniforms(keys, self._num_samples, z.shape))
            return _half_mean_square(scores, z, dim=None)
        last = z.movedim(1 if z.ndim > 1 else 0, -1)
        mask = None if labels.is_floating_point() else labels != self._ignored
        scores = self._class_score(last.detach(), uniforms(keys, self._num_samples, last.shape[:-1]))
        return _half_mean_square(scores, last, dim=-1, mask=mask)

    def _class_score(self, logs: Tensor, uniform: Tensor) -> Tensor:
        """Return the gradients at the outputs, samples first and classes last, of a class drawn for each prediction."""
        p = logs.softmax(dim=-1)
        cumulative = p.cumsum(dim=-1)
        drawn = (cumulative < uniform.to(p.dtype).unsqueeze(-1) * cumulative[..., -1:]).sum(dim=-1)
        chosen = F.one_hot(drawn.clamp_max(p.shape[-1] - 1), p.shape[-1]).to(p.dtype)
        return p - chosen if self._likelihood == "logits" else -chosen

    def _score(self, z: Tensor, uniform: Tensor) -> Tensor:
        """Return the derivative at each output, samples first, for a drawn target."""
        if self._likelihood == "bernoulli":
            p = z.sigmoid()
            return p - (uniform < p).to(z.dtype)
        # The derivative of (z - y)^2 with z - y = erfinv(2 uniform - 1), normal of variance 1/2.
        return 2 * torch.erfinv(2 * uniform - 1).to(z.dtype)


def _with_keys(problem: Problem, sampled: _Sampled, seed: int) -> Problem:
    """Return the problem with a key for each example, from which its labels are drawn."""
    takes_pairs = problem.loss.takes_pairs

    def keyed(index: int, batch: Any) -> Any:
        start = _mixed(torch.tensor([seed]) * 2 + 1) + index
        lengths = [tensor.size(0) for tensor in tensors_of(batch) if tensor.ndim > 0] or [batch_length(batch)]
        keys = _mixed(_mixed(start) + torch.arange(lengths[0])).to(tensors_of(batch)[0].device)
        return (batch[0], (batch[1], keys)) if takes_pairs else (batch, keys)

    def forward(model: nn.Module, keyed_batch: Any) -> Any:
        batch, keys = keyed_batch
        outputs, targets = problem.loss.forward(batch)
        return outputs, (targets, keys)

    def weight(keyed_batch: Any) -> float:
        return problem.weight((keyed_batch[0], keyed_batch[1][0]) if takes_pairs else keyed_batch[0])

    loss = problem.loss.with_loss(sampled, None if takes_pairs else forward)
    return replace(problem, loss=loss, passes=problem.passes.transformed(keyed), weight=weight)


def uniforms(keys: Tensor, num_samples: int, shape: torch.Size) -> Tensor:
    """Return uniform numbers in (0, 1) for each prediction, the same on every device and in every block.

    ``keys`` has one entry for each example; predictions of an example are next to one another in ``shape``. The result
    has the shape (num_samples, *shape).
    """
    count = shape.numel()
    if count % len(keys):
        raise ValueError(f"Outputs must have as many rows for each example; got {tuple(shape)} for {len(keys)}.")
    samples = torch.arange(num_samples, device=keys.device)
    places = torch.arange(count // len(keys), device=keys.device)
    bits = _mixed(_mixed(keys + samples.unsqueeze(1)).unsqueeze(2) + places)
    return (((bits >> 12) & ((1 << 52) - 1)).double() + 0.5).div(1 << 52).reshape(num_samples, *shape)


def _mixed(x: Tensor) -> Tensor:
    """Return well-mixed 64-bit integers: the finaliser of splitmix64 (Steele, Lea & Flood 2014)."""
    x = x + -7046029254386353131
    x = (x ^ _shifted(x, 30)) * -4658895280553007687
    x = (x ^ _shifted(x, 27)) * -7723592293110705685
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    """Return x >> by without copies of the sign."""
    return (x >> by) & ((1 << (64 - by)) - 1)
