"""Curvature of a loss as an operator on the parameters: exact products for any model."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, Unpack

import torch
from torch import Tensor, nn

from hessdens._calls import takes_model
from hessdens._threads import WATCH
from hessdens.curvature.checks import check_curvature_of_loss
from hessdens.curvature.engines.loss_module import Forward
from hessdens.curvature.fisher import fisher_problem
from hessdens.curvature.operator import CurvatureOperator
from hessdens.curvature.parameters import Selection
from hessdens.curvature.plan import Plan
from hessdens.curvature.problem import Problem, ProblemOptions
from hessdens.curvature.settings import TURN, Undisturbed


@takes_model
def hessian_operator(
    model: nn.Module,
    loss_fn: Callable[[Any, Any], Tensor],
    data: Iterable[Any],
    *,
    forward: Forward | None = None,
    parameters: Selection = None,
    num_examples: Callable[[Any], float] | None = None,
    split_batches: bool = True,
    check_deterministic: bool = True,
    weight_decay: float = 0.0,
    plan: Plan | None = None,
    memory_limit: int | None = None,
) -> CurvatureOperator:
    """Return the Hessian of the mean loss over ``data`` with respect to the parameters of ``model``.

    The model is left as it is: mode, gradients, buffers and random state do not change. The operator refers to the
    model, so it gives the Hessian at the parameters that the model has when a product is made.

    Parameters
    ----------
    model
        Any module, in evaluation mode where it has dropout or batch normalisation. Parameters in half precision have
        float32 vectors, and products summed in float64. Of ``DistributedDataParallel``, the module inside; models that
        ``fully_shard`` has sharded have `hessdens.distributed.sharded_operator`.
    loss_fn
        ``loss_fn(outputs, targets)`` returns the mean loss over the examples of a batch, a scalar. What it reads of the
        model's parameters is differentiated; trainable parameters of its own are constants, with a warning.
    data
        A re-iterable of batches, the same in every pass: a list, or a ``DataLoader`` without shuffling.
    forward
        ``forward(model, batch)`` returns ``(outputs, targets)``. Default: a batch is ``(inputs, targets)`` and the
        outputs are ``model(inputs)``.
    parameters
        Which parameters: names or globs (``"layers.*.weight"``), or a predicate on (name, parameter). Default: all.
        Frozen parameters are left out, and with a warning those that the loss of no batch uses; tied ones count once.
        Those that are frozen or unfrozen later stay where they are: inside or outside of the matrix.
        Vectors have their entries in the order of ``model.named_parameters()``.
    num_examples
        ``num_examples(batch)`` is the weight of a batch in the mean over ``data``: say, its number of unmasked tokens.
        Default: the first dimension of its tensors, which must be the same for all of them. It must be given where
        nothing can be compared, as for single examples of unequal lengths. A batch of weight 0 counts for nothing,
        whatever its loss.
    split_batches
        Cut batches into blocks of examples, to save memory and time. Switch it off where the loss is not a mean
        over examples, or where not all tensors of a batch can be cut along their first dimension.
    check_deterministic
        Compare the first batch with itself, its loss too, and the batches of each pass with those of the first. Costs
        one read of the data per pass. (That losses are means is always checked, in the first pass, for two forward
        passes over the data.)
    weight_decay
        Of ``torch.optim.SGD``: the loss has ``weight_decay / 2`` times the sum of the squared parameters besides, so
        that the matrix has ``weight_decay`` times the identity besides.
    plan
        How products are made, as far as it is not left to the library: see `Plan`. The library times a few blocks once
        there is enough work for that to pay, so that results of two runs agree to rounding only, unless ``plan`` gives
        all.
    memory_limit
        Bytes that a product may use besides the probes and the model. Default: half of what is free.

    Raises
    ------
    ValueError
        If the data are empty, differ from pass to pass, are changed in place by the model, or lie on another device or
        dtype than it. If the loss is not a scalar, is not a mean, is random, has no gradient, or one that backward
        hooks change. If no parameter is left, or a name or glob matches frozen ones only. If parameters are added,
        tied or untied later. If a float64 model runs under autocast.
    NonFiniteError
        If the loss, its gradient or its second derivative is not finite.
    MemoryError
        If a product does not fit into ``memory_limit``, even for one example and probe: raised by the product.
    TypeError
        If ``data`` can be iterated over once only, or is not an iterable of batches.

    Notes
    -----
    Cost of a product: two or three gradients per vector, less for multilayer perceptrons, in one pass over the data.
    Source: B. A. Pearlmutter, Fast exact multiplication by the Hessian (1994).

    Examples
    --------
    The loss is w², so its Hessian is the number 2.

    >>> import torch
    >>> from hessdens import hessian_operator
    >>> model = torch.nn.Linear(1, 1, bias=False).double()
    >>> data = [(torch.ones(4, 1, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64))]
    >>> H = hessian_operator(model, torch.nn.MSELoss(), data)
    >>> H @ torch.ones(H.size, dtype=torch.float64)
    tensor([2.00], dtype=torch.float64)
    """
    with TURN, Undisturbed(model, loss_fn), WATCH.work(_device_of(model)):
        problem = Problem.of(
            model,
            loss_fn,
            data,
            forward=forward,
            parameters=parameters,
            num_examples=num_examples,
            split_batches=split_batches,
            check_deterministic=check_deterministic,
            weight_decay=weight_decay,
        )
        return CurvatureOperator(problem, "hessian", plan, memory_limit)


@takes_model
def ggn_operator(
    model: nn.Module,
    loss_fn: Callable[[Any, Any], Tensor],
    data: Iterable[Any],
    *,
    plan: Plan | None = None,
    memory_limit: int | None = None,
    **options: Unpack[ProblemOptions],
) -> CurvatureOperator:
    """Return the generalised Gauss-Newton matrix of the mean loss over ``data``: J^T B J, averaged.

    J is the Jacobian of the outputs in the parameters, B the Hessian of the loss in the outputs. It is the Hessian
    without the curvature of the network, and positive semi-definite where the loss is convex in the outputs.

    Parameters and errors are those of `hessian_operator`. Outputs may be any nested containers of tensors that
    ``torch.utils._pytree`` knows.

    Raises
    ------
    ValueError
        Also if the loss cannot be differentiated twice, or is linear in the outputs, so that the matrix says nothing:
        absolute errors, log-probabilities, or outputs that are the loss already.

    Notes
    -----
    Cost of a product: about 2 gradients, one pass over the data for all probes. Source: N. N. Schraudolph, Fast
    curvature matrix-vector products (2002).

    Examples
    --------
    A linear model has no curvature of its own, so this matrix is its Hessian.

    >>> import torch
    >>> from hessdens import ggn_operator, hessian_operator
    >>> model, loss_fn = torch.nn.Linear(3, 2).double(), torch.nn.CrossEntropyLoss()
    >>> data = [(torch.eye(3, dtype=torch.float64), torch.tensor([0, 1, 1]))]
    >>> G, H = ggn_operator(model, loss_fn, data), hessian_operator(model, loss_fn, data)
    >>> vector = torch.ones(G.size, dtype=torch.float64).cumsum(0)
    >>> torch.allclose(G @ vector, H @ vector)
    True
    """
    with TURN, Undisturbed(model, loss_fn), WATCH.work(_device_of(model)):
        problem = Problem.of(model, loss_fn, data, **options)
        check_curvature_of_loss(problem.loss, problem.passes.first_batch)
        return CurvatureOperator(problem, "gauss-newton", plan, memory_limit)


@takes_model
def fisher_operator(
    model: nn.Module,
    loss_fn: Callable[[Any, Any], Tensor],
    data: Iterable[Any],
    *,
    kind: Literal["exact", "monte-carlo", "empirical"] = "exact",
    num_samples: int = 1,
    seed: int = 0,
    plan: Plan | None = None,
    memory_limit: int | None = None,
    **options: Unpack[ProblemOptions],
) -> CurvatureOperator:
    r"""Return the Fisher information matrix: the mean over ``data`` of E[g g^T], g the gradient of -log p(y | x).

    Parameters other than these, and errors, are those of `hessian_operator`. Outputs must be one tensor.

    Parameters
    ----------
    loss_fn
        The negative log-likelihood of the model: ``nn.CrossEntropyLoss``, ``nn.NLLLoss``, ``nn.MSELoss`` (each output
        Gaussian with variance 1/2) or ``nn.BCEWithLogitsLoss``, or their functions in ``torch.nn.functional``, without
        weights and label smoothing. For the empirical matrix: any mean over the rows of the outputs.
    kind
        "exact": the expectation over the labels that the model predicts; except for ``NLLLoss``, the Gauss-Newton
        matrix. "monte-carlo": its mean over ``num_samples`` labels drawn for each prediction, unbiased. "empirical":
        with the labels in ``data``, which is another matrix.
    num_samples, seed
        Of the Monte Carlo matrix. The labels of a prediction depend on the seed, its batch and its place there only,
        whatever the block or the device: the operator is one fixed matrix.

    Raises
    ------
    ValueError
        Also if ``loss_fn`` is not a log-likelihood from the list.

    Notes
    -----
    Cost: as `ggn_operator`. A prediction is one target of the cross-entropy, one output of the squared error and of the
    binary cross-entropy; for the empirical matrix of the latter two and of other losses, one row. Source: F. Kunstner,
    L. Balles, P. Hennig, Limitations of the empirical Fisher approximation (2019).

    Examples
    --------
    With the labels of the data, one example gives the square of its gradient.

    >>> import torch
    >>> from hessdens import fisher_operator
    >>> model, loss_fn = torch.nn.Linear(3, 2).double(), torch.nn.CrossEntropyLoss()
    >>> inputs, labels = torch.ones(1, 3, dtype=torch.float64), torch.tensor([0])
    >>> F = fisher_operator(model, loss_fn, [(inputs, labels)], kind="empirical")
    >>> gradients = torch.autograd.grad(loss_fn(model(inputs), labels), list(model.parameters()))
    >>> gradient = torch.cat([part.flatten() for part in gradients])
    >>> torch.allclose(F @ gradient, gradient * (gradient @ gradient))
    True
    """
    with TURN, Undisturbed(model, loss_fn), WATCH.work(_device_of(model)):
        problem = fisher_problem(Problem.of(model, loss_fn, data, **options), kind, num_samples, seed)
        F = CurvatureOperator(problem, "gauss-newton", plan, memory_limit)
    F.name = "Fisher matrix"
    return F


def _device_of(model: Any) -> torch.device:
    """Return where a model is; the CPU for what has no parameters, and is refused later."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device
