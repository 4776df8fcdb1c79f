"""What outputs and targets are like, and what to write: in notes of errors of models and losses, and in errors."""

import contextlib
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hessdens.curvature.containers import leaves_of, map_tensors, tensors_of
from hessdens.curvature.engines.loss_module import LossModule, without_graph

PACKAGE = Path(__file__).parents[1]
# Losses of torch whose targets have the shape of the outputs, as modules and as functions.
OF_ONE_SHAPE = {
    "BCELoss", "BCEWithLogitsLoss", "HuberLoss", "L1Loss", "MSELoss", "SmoothL1Loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss",
}  # fmt: skip
OF_CLASSES = {"CrossEntropyLoss", "NLLLoss", "cross_entropy", "nll_loss"}
# Names under which models return what losses take, the first that is there.
OUTPUTS = ("logits", "out", "prediction", "predictions", "outputs")


@contextlib.contextmanager
def noted(loss: LossModule, batch: Any, index: int) -> Iterator[None]:
    """Give an error of the model or the loss function a note of what they were given."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        is_explained = isinstance(error, ValueError) and _is_our_own(error)
        if not is_explained and not isinstance(error, torch.OutOfMemoryError):
            error.add_note(f"hessdens was computing the loss of batch {index}: {given(batch)}.{_advice(loss, batch)}")
        raise


def given(batch: Any) -> str:
    """Return dtypes and shapes of the first tensors of a batch, and the kinds of others."""
    tensors = [f"{t.dtype} {'nested' if t.is_nested else tuple(t.shape)}" for t in tensors_of(batch)[:4]]
    others = dict.fromkeys(type(leaf).__name__ for leaf in leaves_of(batch) if not isinstance(leaf, Tensor))
    return ", ".join([*tensors, *others])


def first_sentence(error: object) -> str:
    """Return the first sentence of an error's message, or its kind where there is none."""
    lines = str(error).splitlines()
    return lines[0].split(". ")[0].rstrip(".") if lines else type(error).__name__


def check_targets(name: str, outputs: Any, targets: Any) -> None:
    """Raise ValueError if torch would compare the outputs of each example with the targets of all others."""
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return
    try:
        shape = torch.broadcast_shapes(outputs.shape, targets.shape)
    except RuntimeError:  # the loss will say so
        return
    if shape != outputs.shape:
        raise ValueError(
            f"{name} must be given targets in the shape of the outputs, {tuple(outputs.shape)}; got "
            f"{tuple(targets.shape)}, which torch broadcasts to all pairs of examples. Write "
            f"targets.reshape{(-1, *outputs.shape[1:])}."
        )


def _is_our_own(error: Exception) -> bool:
    """Return whether hessdens raised an error, rather than code that it called."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and PACKAGE in Path(frames[-1][0].f_code.co_filename).parents


def _advice(loss: LossModule, batch: Any) -> str:
    """Return what outputs the loss had, and what to write where that is known, with a space before it."""
    if not loss.takes_pairs:
        return ""
    try:
        outputs = without_graph(lambda: loss.model(map_tensors(lambda t: t.detach().clone(), batch[0])))
    except Exception:
        return " The model fails at these inputs, before its loss is computed."
    if loss.name not in OF_ONE_SHAPE | OF_CLASSES:
        return f" The outputs of the model are {given(outputs)}."
    if not isinstance(outputs, Tensor):
        choice = f"forward=lambda model, batch: (model(batch[0]){_item(outputs)}, batch[1])"
        return f" The model returns {type(outputs).__name__}, and {loss.name} takes one tensor. Write {choice}."
    return f" The outputs are {given(outputs)}. {_targets(loss.name, outputs, batch[1])}"


def _item(outputs: Any) -> str:
    """Return the code that takes one tensor from outputs: what losses usually take, or else the first."""
    if isinstance(outputs, Mapping):
        keys = [key for key, value in outputs.items() if isinstance(value, Tensor)]
        return f"[{next((key for key in (*OUTPUTS, *keys) if key in keys), 'outputs')!r}]"
    for name in OUTPUTS:
        if isinstance(getattr(outputs, name, None), Tensor):
            return f".{name}"
    return "[0]" if isinstance(outputs, tuple | list) else ".outputs"


def _targets(name: str, outputs: Tensor, targets: Any) -> str:
    """Return what a loss of torch takes as targets, and how to make it of these."""
    if name in OF_ONE_SHAPE:
        rule = f"{name} takes targets of the same shape and dtype."
        if not isinstance(targets, Tensor):
            return rule
        if targets.numel() == outputs.numel():
            return f"{rule} Write targets.reshape{(-1, *outputs.shape[1:])}.to({outputs.dtype})."
        is_class = not targets.is_floating_point() and targets.shape == outputs.shape[:-1]
        return f"{rule} For class numbers write nn.CrossEntropyLoss() instead." if is_class else rule
    classes = outputs.shape[1] if outputs.ndim > 1 else 1
    others = ", or probabilities in the outputs' shape and dtype" if "ntropy" in name else ""
    rule, cure = f"{name} takes class numbers from 0 to {classes - 1} in int64{others}.", ""
    if isinstance(targets, Tensor):
        if targets.ndim == outputs.ndim and targets.shape[1:2] == (1,):
            cure = " Write targets.squeeze(1).long()."
        elif targets.dtype != torch.int64:
            cure = " Write targets.long()."
    return rule + cure
