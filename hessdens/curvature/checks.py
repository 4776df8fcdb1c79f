"""What a model, its loss and its data must satisfy before the first product, each with a message of its own."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hessdens._torch import is_batch_norm, is_dropout
from hessdens.curvature.containers import IGNORED, counting_labels, flattened, map_tensors, tensors_of
from hessdens.curvature.engines.loss_module import LossModule, Values, without_graph
from hessdens.curvature.engines.replacement import called, is_of_the_model
from hessdens.curvature.notes import OF_ONE_SHAPE, check_targets, given, noted
from hessdens.curvature.settings import same_random_state
from hessdens.errors import NonFiniteError
from hessdens.linalg.fingerprint import fingerprint, is_same

# How far parameters are moved for checks of the loss, in units of their root mean square.
MOVED_BY = 0.01
OF_A_SUM = " Write nn.CrossEntropyLoss() or the like; the matrix of a sum is num_examples * H."


def check_modules(model: Any) -> None:
    """Raise if a module would make the loss random or dependent on the other examples of a batch."""
    if not isinstance(model, nn.Module):
        kind = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"model must be a torch.nn.Module; got {kind}. {_instead_of(model)}")
    for name, module in model.named_modules():
        place = called(name, module)
        if module.training and _is_random(module):
            raise ValueError(f"The loss must not be random; {place} is in training mode. Call model.eval().")
        if getattr(module, "max_norm", None) is not None:
            raise ValueError(
                f"The forward pass must not change weights in place; {place} has max_norm. Set it to None."
            )
        if is_batch_norm(module):
            mixes = "The loss of an example must not depend on its batch; "
            if module.running_mean is None:
                raise ValueError(
                    f"{mixes}{place} has no running statistics (track_running_stats=False). Let it track them while "
                    "the model is trained, or use another normalisation, such as GroupNorm."
                )
            if module.training:
                raise ValueError(f"{mixes}{place} is in training mode. Call model.eval().")


def _instead_of(model: Any) -> str:
    """Return what to write in place of something that is no model."""
    if isinstance(model, Tensor):
        return "Pass the model itself, not its outputs."
    if isinstance(model, type):
        return f"Write model = {model.__name__}(..), and pass that."
    if isinstance(model, Mapping):
        return "Write model.load_state_dict(state), and pass the model."
    return "Write hessian_operator(model, loss_fn, data), in this order."


def _is_random(module: Any) -> bool:
    if is_dropout(module):
        return float(module.p) > 0
    if isinstance(module, nn.MultiheadAttention | nn.RNNBase):
        return float(module.dropout) > 0
    return isinstance(module, nn.RReLU)


def check_parameters(model: nn.Module) -> torch.device:
    """Return the one device of all parameters and buffers; ValueError if there are several, or no parameter at all."""
    lazy = [name for name, p in [*model.named_parameters(), *model.named_buffers()] if is_lazy(p)]
    if lazy:
        raise ValueError(f"The parameters must have shapes; {lazy[0]!r} is lazy: run the model once on a batch.")
    if torch.is_inference_mode_enabled() or any(p.is_inference() for p in model.parameters()):
        raise ValueError(
            "Derivatives cannot be taken in torch.inference_mode(), nor of parameters made in it. Make model and "
            "operator outside of it; torch.no_grad() does no harm."
        )
    sharded = [name for name, parameter in model.named_parameters() if hasattr(parameter, "placements")]
    if sharded:
        raise ValueError(
            f"The parameters must be whole tensors; {sharded[0]!r} is sharded over processes. Use "
            "hessdens.distributed.sharded_operator."
        )
    empty = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    if empty:
        raise ValueError(
            f"The parameters must have values; {empty[0]!r} is on device 'meta'. Write model.to_empty(device='cpu') "
            "and model.load_state_dict(state), or load the model without init_empty_weights or device_map."
        )
    devices = {str(p.device): name for name, p in [*model.named_buffers(), *model.named_parameters()]}
    if len(devices) > 1:
        several = ", ".join(f"{device} ({name})" for device, name in devices.items())
        raise ValueError(f"The model must be on one device; got {several}. Move it with model.to(device).")
    parameter = next(model.parameters(), None)
    if parameter is None:
        raise ValueError(
            "The operator needs at least one trainable parameter; the model has no parameters. "
            "Arguments are model, loss_fn and data, in this order."
        )
    return parameter.device


def check_batch(batch: Any, loss: LossModule, device: torch.device, *, name: str = "the first batch") -> None:
    """Raise if a batch is empty, is no pair (unless ``forward=`` is given), or has another device or dtype."""
    if loss.takes_pairs and not (isinstance(batch, tuple | list) and len(batch) == 2):
        if isinstance(batch, Mapping) and "labels" in batch:
            raise TypeError(
                f"A batch must be a pair (inputs, targets); got a mapping with 'labels' as {name}. For models of "
                "transformers write hessdens.curvature.from_transformers(model, batches), for others pass forward=."
            )
        size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
        pair = f"A batch must be a pair (inputs, targets); got {type(batch).__name__}{size} as {name}."
        if isinstance(batch, Mapping) and len(batch) > 1:
            first, *_, last = batch
            raise TypeError(f"{pair} Write forward=lambda model, batch: (model(batch[{first!r}]), batch[{last!r}]).")
        if isinstance(batch, tuple | list) and len(batch) > 2:
            raise TypeError(f"{pair} Write forward=lambda model, batch: (model(*batch[:-1]), batch[-1]).")
        raise TypeError(
            f"{pair} Pass [(inputs, targets)] for a single batch, or for other batches forward=, a function of model "
            "and batch that returns (outputs, targets)."
        )
    tensors = tensors_of(batch)
    for tensor in tensors:
        if tensor.device != device:
            raise ValueError(
                f"The data must be on the model's device, {device}; {name} has a tensor on {tensor.device}. "
                "Write model.to(device) and batch.to(device), or one of them."
            )
    if tensors and tensors[0].ndim > 0 and tensors[0].size(0) == 0:
        raise ValueError(f"A batch must have at least one example; {name} has none. Leave it out.")
    if not loss.takes_pairs:
        return
    dtypes = {p.dtype for p in loss.model.parameters() if p.is_floating_point() or p.is_complex()}
    dtype = _dtype_of(loss.model)
    if len(dtypes) > 1 or dtype.is_complex:
        return  # who takes what is not known
    is_half = dtype in (torch.float16, torch.bfloat16)  # its loss may well be in single precision
    for kind, part in (("Inputs", batch[0]), *([] if is_half else [("Targets", batch[1])])):
        for tensor in tensors_of(part):
            if tensor.is_floating_point() and tensor.dtype != dtype:
                raise ValueError(
                    f"{kind} must have the model's dtype, {dtype}; got {tensor.dtype} in {name}. "
                    "Convert the data, or the model with model.to(dtype)."
                )


def check_autocast(parameter: Tensor) -> None:
    """Raise ValueError if autocast is on around a float64 model."""
    kind = parameter.device.type
    if parameter.dtype == torch.float64 and torch.is_autocast_enabled(kind):
        raise ValueError(
            f"Autocast must be off for a float64 model, whose precision it takes away; it is on for {kind!r} "
            f"({torch.get_autocast_dtype(kind)}). Leave the autocast context, or convert the model with model.float()."
        )


def check_curvature_of_loss(loss: LossModule, batch: Any) -> None:
    """Raise ValueError unless the loss has second derivatives in the outputs, near the model's own or elsewhere."""
    outputs, targets = map_tensors(Tensor.detach, without_graph(lambda: loss.outputs(batch, present(loss))))
    leaves, rebuilt = flattened(outputs)
    if not leaves or not all(isinstance(leaf, Tensor) and leaf.is_floating_point() for leaf in leaves):
        kinds = sorted({str(leaf.dtype) if isinstance(leaf, Tensor) else type(leaf).__name__ for leaf in leaves})
        raise ValueError(
            f"The Gauss-Newton matrix needs outputs made of floating-point tensors only; got {', '.join(kinds)}. "
            "Choose them in forward=."
        )
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(leaf.shape, generator=generator).to(leaf) for leaf in leaves]
    # The model's own outputs, slightly moved, are in the domain of the loss; others may show more of it.
    near = [leaf * (1 + 1e-3 * moved) for leaf, moved in zip(leaves, noise, strict=True)]
    linear = {_is_linear(lambda z: loss.loss_of(rebuilt(z), targets), points) for points in (near, noise)}
    if True in linear and False not in linear:
        raise ValueError(
            "The Gauss-Newton matrix needs a loss with curvature in the outputs; this one is linear in them. Return "
            "logits instead of log-probabilities, or the outputs instead of the loss, from the model or forward=; or "
            "use hessian_operator or fisher_operator."
        )


def _is_linear(function: Callable[[list[Tensor]], Tensor], points: list[Tensor]) -> bool | None:
    """Return whether a function has a slope but no curvature at some points; None where it is not defined."""
    points = [point.requires_grad_() for point in points]
    try:
        with torch.enable_grad():
            gradient = torch.autograd.grad(function(points), points, create_graph=True, materialize_grads=True)
            slope = torch.stack([g.square().sum() for g in gradient]).sum()
            bends = [torch.zeros_like(slope)]
            if slope.requires_grad:
                bends = list(torch.autograd.grad(slope, points, materialize_grads=True))
    except Exception as error:
        if not is_of_the_model(error):
            raise
        return None
    return float(slope.detach()) > 0 and not any(bend.any() for bend in bends)


def check_loss(loss: LossModule, batch: Any, index: int) -> None:
    """Raise ValueError unless the loss of a batch is a finite scalar, and leaves the weights as they are."""
    if loss.reduction in ("sum", "none"):
        raise ValueError(mean_message(f"its reduction is {loss.reduction!r}") + OF_A_SUM)
    with noted(loss, batch, index):
        if loss.name in OF_ONE_SHAPE:
            check_targets(loss.name, *without_graph(lambda: loss.outputs(_copied(batch), present(loss))))
        value = evaluated(loss, batch)
    check_finite(value, loss, batch, index)


def _check_copies(model: nn.Module, copies: Values) -> None:
    """Raise ValueError if the forward pass has changed its weights."""
    parameters = dict(model.named_parameters())
    for name, copy in copies.items():
        parameter = parameters[name]
        if copy.layout == torch.strided and bool(((copy != parameter) & (parameter == parameter)).any()):
            raise ValueError(
                f"The forward pass must not change weights in place; it changes {name!r}. Do that after the steps of "
                "training, or compute the changed weights as new tensors."
            )


def present(loss: LossModule) -> Values:
    """Return the parameters as they are, without a past: a forward pass may take derivatives in them itself."""
    return {name: p.detach().requires_grad_(p.requires_grad) for name, p in loss.model.named_parameters()}


def moved(loss: LossModule) -> Values:
    """Return parameters near the present ones, all at random: where a layer is zero, a loss may be right by chance."""
    generator, named = torch.Generator().manual_seed(0), dict(loss.model.named_parameters())
    floating = {name: p.detach() for name, p in named.items() if p.is_floating_point() and p.layout == torch.strided}
    squares = sum(float(p.double().square().sum()) for p in floating.values())
    step = MOVED_BY * ((squares / max(sum(p.numel() for p in floating.values()), 1)) ** 0.5 or 1.0)
    values = {name: p.add(torch.randn(p.shape, generator=generator).to(p), alpha=step) for name, p in floating.items()}
    return {name: value.requires_grad_(named[name].requires_grad) for name, value in values.items()}


def evaluated(loss: LossModule, batch: Any, parameters: Values | None = None, *, seed: int = 0) -> Tensor:
    """Return the loss of a batch, perhaps at other parameters.

    Raises ValueError unless it is a scalar; at the present parameters, also if the forward pass changes them or the
    batch: copies, not the user's.
    """
    copies: Values = {}
    if parameters is None:
        copies, before = {name: _copy(p) for name, p in loss.model.named_parameters()}, fingerprint(batch)
        batch = _copied(batch)
    with same_random_state(seed):
        value = without_graph(lambda: loss.value(batch, parameters or copies))
    check_scalar(value)
    _check_copies(loss.model, copies)
    if parameters is None and not is_same(before, fingerprint(batch)):
        raise ValueError(
            f"Model and loss must not change the batch in place; they change {given(batch)}. Give them a copy, as "
            "forward=lambda model, batch: (model(batch[0].clone()), batch[1]) does."
        )
    return value.detach()


def _copied(batch: Any) -> Any:
    with contextlib.suppress(TypeError):  # of containers that cannot be made anew
        return map_tensors(_copy, batch)
    return batch


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def evaluated_nearby(loss: LossModule, batch: Any, parameters: Values, *, seed: int = 0) -> Tensor:
    """Return the loss of a batch at other parameters; NaN where the model raises an error, as outside its domain."""
    try:
        return evaluated(loss, batch, parameters, seed=seed)
    except Exception as error:
        if not is_of_the_model(error):
            raise
        return torch.tensor(torch.nan, dtype=torch.float64)


def check_scalar(value: Any) -> None:
    """Raise ValueError unless a loss is a tensor without dimensions."""
    if not isinstance(value, Tensor) or value.ndim != 0:
        received, cure = type(value).__name__, "Return a tensor, without .item()."
        if isinstance(value, Tensor):
            received, cure = f"shape {tuple(value.shape)}", "Take its .mean(), or reduction='mean'."
        raise ValueError(f"The loss must be a scalar, the mean over the examples of a batch; got {received}. {cure}")


def check_finite(value: Tensor, loss: LossModule, batch: Any, index: int) -> None:
    """Raise NonFiniteError unless the loss of the first batch that counts is finite."""
    check_labels(value, loss, batch, index)
    if not torch.isfinite(value):
        raise NonFiniteError(f"The loss and its gradient must be finite; the loss of batch {index} is {float(value)}.")


def check_labels(value: Tensor, loss: LossModule, batch: Any, index: int) -> None:
    """Raise NonFiniteError if a loss is NaN because it ignores all labels of a batch: a mean over none."""
    if not torch.isnan(value):
        return
    ignored = getattr(loss.loss_fn, "ignore_index", IGNORED)
    if any(not t.is_floating_point() and t.numel() and bool((t == ignored).all()) for t in tensors_of(batch)):
        raise NonFiniteError(
            f"The loss and its gradient must be finite; the loss of batch {index} is nan, a mean over no labels, since "
            f"all of them are {ignored}. Leave such batches out, or count labels: {counting_labels(batch, ignored)}."
        )


def check_total_weight(weight: float) -> None:
    """Raise ValueError unless the weights of all batches have a positive sum."""
    if not weight > 0:
        raise ValueError(
            f"num_examples must add up to more than zero over data; got {weight}. Give one batch at least a weight "
            "above 0."
        )


def _dtype_of(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.requires_grad), torch.float32)


def mean_message(reason: str) -> str:
    """Return what is asked of a loss, and why this one is not it."""
    return f"loss_fn must return the mean over the examples of a batch (reduction='mean'); {reason}."
