"""Operators of models of Hugging Face transformers, whose batches hold labels and whose loss the model computes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Unpack

import torch
from torch import Tensor, nn

from hessdens._calls import takes_model
from hessdens.curvature.checks import check_modules
from hessdens.curvature.containers import IGNORED, on_device_of
from hessdens.curvature.factories import fisher_operator, ggn_operator, hessian_operator
from hessdens.curvature.operator import CurvatureOperator
from hessdens.curvature.problem import ProblemOptions
from hessdens.curvature.settings import TURN, Undisturbed

FACTORIES: Mapping[str, Any] = {"hessian": hessian_operator, "ggn": ggn_operator, "fisher": fisher_operator}
# Two ways to compute one loss agree to this part of it, in half precision too.
AGREEMENT = 1e-2
EXACT_AGREEMENT = 1e-4
COLLATE = (
    "Pad and stack examples: tokenizer(texts, padding=True, return_tensors='pt'), or DataLoader(dataset, batch_size=8, "
    "collate_fn=DataCollatorWithPadding(tokenizer))."
)


NO_LABELS = (
    "batches must have 'labels', except for a causal language model, which predicts its own tokens. Write "
    "batches = [{**tokenizer(texts, padding=True, return_tensors='pt'), 'labels': labels}]."
)


class Reading(NamedTuple):
    """One way in which a loss may come from logits and labels."""

    loss_fn: nn.Module
    pair: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    weight: Callable[[Tensor], float]

    def options(self) -> dict[str, Any]:
        """Return how outputs and targets come from a batch, and how much it weighs: options of `hessian_operator`."""
        return {
            "forward": lambda network, batch: self.pair(logits_of(network, batch), batch["labels"]),
            "num_examples": lambda batch: self.weight(batch["labels"]),
        }


def _next_tokens(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return logits[:, :-1].flatten(0, -2), labels[:, 1:].flatten()


def _classes(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return logits.flatten(0, -2), labels.flatten()


def _values(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return logits.reshape(labels.shape), labels


def _counted(labels: Tensor) -> float:
    return float((labels != IGNORED).sum())


# In the order in which they are tried.
READINGS = (
    Reading(nn.CrossEntropyLoss(ignore_index=IGNORED), _next_tokens, lambda labels: _counted(labels[:, 1:])),
    Reading(nn.CrossEntropyLoss(ignore_index=IGNORED), _classes, _counted),
    Reading(nn.MSELoss(), _values, lambda labels: float(labels.shape[0])),
    Reading(nn.BCEWithLogitsLoss(), _values, lambda labels: float(labels.shape[0])),
)


@takes_model
def from_transformers(
    model: nn.Module,
    batches: Iterable[Mapping[str, Any]],
    *,
    curvature: Literal["hessian", "ggn", "fisher"] = "hessian",
    **options: Unpack[ProblemOptions],
) -> CurvatureOperator:
    """Return an operator of a Hugging Face model: the loss is its own, and labels, masks and padding count as there.

    Batches are what a tokenizer and a data collator make: mappings with ``input_ids`` and the like, and ``labels``.
    For a causal language model without labels, they are the tokens that the attention mask shows. The mean is over
    all labels that are not -100, whatever batch they are in. Batches are read once and moved to the device of the
    model, so a ``DataLoader`` may shuffle.

    Parameters
    ----------
    model
        A model with a head, such as ``AutoModelForCausalLM``; adapters of PEFT too. Call ``model.eval()`` first.
    batches
        A list of batches, or a ``DataLoader``.
    curvature
        "hessian", "ggn" (Gauss-Newton) or "fisher".
    options
        Other arguments of `hessian_operator`, such as ``parameters=`` and ``weight_decay=``.

    Raises
    ------
    ValueError
        If there is no batch, or it has no labels and the model is no causal language model. For "ggn" and "fisher",
        if the model's loss is not one of these: cross entropy of the next token, of each token or of each example,
        squared error, binary cross entropy.

    Notes
    -----
    The loss of the first batch is computed in each of these ways, and compared with the one that the model returns. So
    the class of the model need not be known. Where none agrees, the model's own loss is used, and examples count alike
    unless ``num_examples=`` is given.

    Examples
    --------
    >>> import torch
    >>> from types import SimpleNamespace
    >>> from hessdens.curvature import from_transformers
    >>> class Tiny(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layers = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5))
    ...     def forward(self, input_ids, labels=None):
    ...         logits = self.layers(input_ids)
    ...         loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    ...         return SimpleNamespace(loss=loss, logits=logits)
    >>> tokens = torch.tensor([[0, 1, 2, 3], [4, 3, 2, 1]])
    >>> labels = torch.tensor([[0, 1, 2, 3], [4, 3, -100, -100]])
    >>> H = from_transformers(Tiny().eval(), [{"input_ids": tokens, "labels": labels}])
    >>> (H @ torch.ones(H.size)).shape, H.total_weight
    (torch.Size([35]), 4.0)
    """
    if curvature not in FACTORIES:
        raise ValueError(f"curvature must be one of {', '.join(FACTORIES)}; got {curvature!r}.")
    check_modules(model)
    data, have_labels = batches_of(model, batches)
    reading = reading_of(model, data, have_labels=have_labels)
    if reading is None:
        if curvature != "hessian":
            raise ValueError(
                f"curvature={curvature!r} needs logits and labels whose loss is known; the model returns another loss. "
                'Use curvature="hessian", or ggn_operator with forward= and loss_fn=.'
            )
        options.setdefault("forward", model_loss)
        return hessian_operator(model, own_loss, data, **options)
    operator: CurvatureOperator = FACTORIES[curvature](model, reading.loss_fn, data, **{**reading.options(), **options})
    return operator


def batches_of(model: nn.Module, batches: Iterable[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """Return all batches, with labels, on the device of a model, and whether all had labels of their own."""
    if isinstance(batches, Mapping):
        raise TypeError("batches must be a list of batches or a DataLoader; got a single batch. Write [batch].")
    read = on_device_of(model, [_mapping(batch) for batch in batches])
    data = [_with_labels(batch) for batch in read]
    if not data:
        raise ValueError("batches must be at least one; got none. Pass a list of batches, or a DataLoader.")
    if not any(map(_has_labels, data)):
        raise ValueError(
            f"batches must have labels that count; all labels of all {len(data)} are {IGNORED}, which losses ignore. "
            "Look at the padding and at what the collator masks."
        )
    return data, all(batch.get("labels") is not None for batch in read)


def _has_labels(batch: Mapping[str, Any]) -> bool:
    """Return whether some labels of a batch count, or nothing is known of them."""
    labels = batch["labels"]
    return not isinstance(labels, Tensor) or bool((labels != IGNORED).any())


def model_loss(model: nn.Module, batch: Any) -> tuple[Any, None]:
    """Return the loss that the model computes from a batch with labels, and no targets: a ``forward=``."""
    return model(**batch).loss, None


def own_loss(loss: Tensor, targets: None) -> Tensor:
    """Return the output of the model, which is the loss already: the ``loss_fn`` that goes with `model_loss`."""
    return loss


def logits_of(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """Return the logits of a batch."""
    logits: Tensor = model(**batch).logits
    return logits


def reading_of(model: nn.Module, batches: Iterable[Mapping[str, Any]], *, have_labels: bool) -> Reading | None:
    """Return the way in which the model's loss comes from logits and labels, None if it is none of the known.

    The first batch with labels that count shows it. ValueError if batches have tokens as labels only, and the model is
    no causal language model.
    """
    batch = next(filter(_has_labels, batches))
    try:
        with TURN, Undisturbed(model), torch.no_grad():
            outputs, labels = model(**batch), batch["labels"]
    except (RuntimeError, ValueError, IndexError) as error:
        if have_labels:
            raise
        raise ValueError(NO_LABELS) from error
    reading = _reading(outputs, labels)
    if not have_labels and reading not in (None, READINGS[0]):
        raise ValueError(NO_LABELS)
    return reading


def _reading(outputs: Any, labels: Any) -> Reading | None:
    """Return the first way that gives a model's loss."""
    loss, logits = getattr(outputs, "loss", None), getattr(outputs, "logits", None)
    if loss is None:
        raise ValueError(
            "model must return a loss where a batch has labels; it returned none. Use a model with a head, such as "
            "AutoModelForSequenceClassification."
        )
    if not isinstance(logits, Tensor) or not isinstance(labels, Tensor):
        return None
    is_half = logits.dtype in (torch.float16, torch.bfloat16)
    for reading in READINGS:
        try:
            other = reading.loss_fn(*reading.pair(logits.float() if is_half else logits, labels))
        except (RuntimeError, ValueError, IndexError, TypeError):  # of shapes or kinds that do not fit
            continue
        if torch.isclose(other.double(), loss.double(), rtol=AGREEMENT if is_half else EXACT_AGREEMENT, atol=0):
            return reading
    return None


def _mapping(batch: Any) -> dict[str, Any]:
    if not isinstance(batch, Mapping):
        raise TypeError(
            f"A batch must be a mapping with 'labels', as a tokenizer and a collator make it; got "
            f"{type(batch).__name__}. For other batches use hessian_operator with forward=."
        )
    for name in ("input_ids", "attention_mask", "labels"):
        _check_tensor(name, batch.get(name))
    return dict(batch)


def _check_tensor(name: str, value: Any) -> None:
    """Raise unless a part of a batch, if there is one, is a tensor with examples as rows, or labels of another kind."""
    if isinstance(value, Tensor):
        if name == "input_ids" and value.ndim < 2:
            raise ValueError(
                f"input_ids must have shape (examples, length); got {tuple(value.shape)}, a single example. {COLLATE}"
            )
    elif isinstance(value, Sequence) and not (value and isinstance(value[0], Mapping)):
        raise TypeError(f"{name} of a batch must be a tensor; got {type(value).__name__}. {COLLATE}")


def _with_labels(batch: dict[str, Any]) -> dict[str, Any]:
    """Return a batch with labels: where it has none, those of a causal language model."""
    if batch.get("labels") is not None:
        return batch
    if "input_ids" not in batch:
        raise ValueError(f"A batch must have 'labels'; got {', '.join(map(repr, batch))}.")
    mask = batch.get("attention_mask")
    tokens = batch["input_ids"]
    return {**batch, "labels": tokens if mask is None else tokens.masked_fill(mask == 0, IGNORED)}
