"""How large a gradient is next to what other examples would have made of it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from hessdens._calls import takes_operator
from hessdens._checks import whole_at_least
from hessdens.curvature.containers import batch_length, chosen_examples
from hessdens.curvature.operator import CurvatureOperator
from hessdens.curvature.settings import TURN, product_settings
from hessdens.linalg.adapt import kind_of

# Parts that the data are cut into at least.
NUM_PARTS = 64


@dataclass(frozen=True)
class GradientNoise:
    """The length of a gradient, and its standard error over the examples of a mean loss.

    Attributes
    ----------
    norm
        abs(g), of the gradient of the loss over all data, and of the penalty of ``weight_decay=``.
    standard_error
        The root mean square of the distance between g and the gradient over all examples that there might be: that of
        the root of tr(Σ) / n, for n independent examples with gradients of covariance Σ.
    num_examples
        n; where batches are not to be cut, the number of batches.

    Examples
    --------
    >>> from hessdens.curvature import GradientNoise
    >>> print(GradientNoise(norm=0.5, standard_error=0.08, num_examples=1797))
    gradient: 0.5, standard error 0.08 over 1,797 examples
    """

    norm: float
    standard_error: float
    num_examples: int

    def __str__(self) -> str:
        count = f"{self.num_examples:,} examples"
        return f"gradient: {self.norm:.3g}, standard error {self.standard_error:.2g} over {count}"


@takes_operator
def gradient_noise(H: CurvatureOperator, *, num_parts: int = NUM_PARTS, seed: int = 0) -> GradientNoise:
    """Return the length of the gradient at the present parameters, and its standard error over examples.

    A gradient that is no longer than its standard error is one that other examples might not have: no slope is seen.

    Parameters
    ----------
    H
        From `hessian_operator` or `ggn_operator`: the gradient is that of the loss that they were made of.
    num_parts
        The data are cut into so many parts at least, each of which adds one sample. With as many parts as examples, the
        standard error is that of the sample variance, exactly.
    seed
        Of the signs of examples.

    Raises
    ------
    ValueError
        If there are fewer than two examples, or batches where these are not to be cut.
    TypeError
        If H is no operator of a model on one process.
    NonFiniteError
        If the gradient is not finite.

    Notes
    -----
    Cost: one gradient over the data, in blocks of about half a part, and three vectors of float64. The order of
    examples does not matter. For random signs s_i of examples with weights w_i and gradients g_i, the squared length of
    the sum of s_i w_i (g_i - g) over a part is the sum of w_i² |g_i - g|² on average. The standard error varies by 1 /
    sqrt(2 num_parts) between seeds, 9%, where all gradients lie along one direction, and by less where they do not.

    Examples
    --------
    >>> import torch
    >>> from hessdens import hessian_operator
    >>> from hessdens.curvature import gradient_noise
    >>> data = [(torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [2.0]]))]
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.zeros_(model.weight)
    >>> noise = gradient_noise(hessian_operator(model, torch.nn.MSELoss(), data))  # of gradients 0 and -4
    >>> noise.norm, noise.standard_error
    (2.0, 2.0)
    """
    if not isinstance(H, CurvatureOperator):
        raise TypeError(f"H must be an operator of a model on one process, from hessian_operator; got {kind_of(H)}.")
    whole_at_least("num_parts", num_parts, 1)
    whole_at_least("seed", seed, 0)
    kind: Any = {"dtype": torch.float64, "device": H.device}
    total, crossed = torch.zeros(H.size, **kind), torch.zeros(H.size, **kind)
    weight = squares = lengths = 0.0
    count = 0
    with TURN, H.problem.undisturbed(), product_settings(tf32=H._plan.tf32):
        H._look_at_the_model()
        for size, halves in _parts(H, num_parts, torch.Generator().manual_seed(seed)):
            difference, step = torch.zeros(H.size, **kind), 0.0
            for sign, half in halves:
                if (own := H.problem.weight(half)) > 0:  # a loss of nothing is not finite
                    gradient = own * H._gradient_of(half, torch.float64)
                    total, weight = total.add_(gradient), weight + own
                    difference, step = difference.add_(gradient, alpha=sign), step + sign * own
            crossed.add_(difference, alpha=step)
            squares, lengths = squares + float(difference.square().sum()), lengths + step**2
            count += size
    if count < 2:
        what = "examples" if H.problem.splits else "batches, which are not to be cut (split_batches=False)"
        raise ValueError(f"A standard error must be over at least two {what}; got {count}.")
    norm = float(H.mean_gradient(total.to(H.dtype), weight).double().norm())
    mean = total / weight
    spread = squares - 2 * float(mean @ crossed) + lengths * float(mean @ mean)
    return GradientNoise(norm, (max(spread, 0.0) * count / (count - 1)) ** 0.5 / weight, count)


def _parts(H: CurvatureOperator, num_parts: int, signs: torch.Generator) -> Iterator[tuple[int, list[tuple[int, Any]]]]:
    """Yield the number of examples of each part, and its halves with their signs; a batch not to be cut is a part."""
    per_batch = -(-num_parts // H.problem.passes.num_batches)
    limit = (H._schedule or H._plan).examples_per_block or math.inf
    for batch in H.problem.passes:
        if not H.problem.splits:
            yield 1, [(1, batch)]
            continue
        for part in H.problem.blocks(batch, int(min(max(batch_length(batch) // per_batch, 1), limit))):
            size = batch_length(part)
            is_first = torch.rand(size, generator=signs) < 0.5
            yield size, [(1, chosen_examples(part, is_first)), (-1, chosen_examples(part, ~is_first))]
