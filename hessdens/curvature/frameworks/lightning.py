"""Operators of Lightning modules, whose training step computes the loss."""

import inspect
import warnings
from collections.abc import Iterable
from typing import Any, Unpack

from torch import Tensor, nn

from hessdens._calls import takes_model
from hessdens.curvature.checks import check_modules
from hessdens.curvature.containers import on_device_of
from hessdens.curvature.factories import hessian_operator
from hessdens.curvature.operator import CurvatureOperator
from hessdens.curvature.problem import ProblemOptions


@takes_model
def from_lightning(module: nn.Module, batches: Iterable[Any], **options: Unpack[ProblemOptions]) -> CurvatureOperator:
    """Return the Hessian of a Lightning module: its loss is what ``training_step`` returns.

    Parameters
    ----------
    module
        A ``LightningModule`` with a ``training_step`` that returns the mean loss of a batch, or a dictionary with it as
        "loss". Call ``module.eval()`` first. No trainer is needed, and what the step logs is left out.
    batches
        As the step takes them: a list, or a ``DataLoader``. They are read once and moved to the module's device.
    options
        Other arguments of `hessian_operator`, such as ``parameters=``, ``num_examples=`` and ``weight_decay=``.

    Raises
    ------
    TypeError
        If ``module`` has no ``training_step``, or it returns no loss.

    Notes
    -----
    For Gauss-Newton and Fisher matrices outputs and loss must be known apart: use `ggn_operator` and `fisher_operator`
    with the network inside.

    Examples
    --------
    >>> import torch
    >>> from hessdens.curvature import from_lightning
    >>> class Module(torch.nn.Module):  # a LightningModule in real life
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.network = torch.nn.Linear(3, 2)
    ...     def training_step(self, batch, batch_idx):
    ...         return torch.nn.functional.cross_entropy(self.network(batch[0]), batch[1])
    >>> H = from_lightning(Module().eval(), [(torch.eye(3), torch.tensor([0, 1, 0]))])
    >>> H.size, H.name
    (8, 'Hessian')
    """
    check_modules(module)
    step = getattr(module, "training_step", None)
    if not callable(step):
        raise TypeError(f"module must have a training_step, as a LightningModule has; got {type(module).__name__}.")
    takes_index = len(inspect.signature(step).parameters) > 1

    def forward(network: Any, batch: Any) -> tuple[Tensor, None]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*self\.log\(\).*")  # there is no trainer that would log
            returned = network.training_step(batch, 0) if takes_index else network.training_step(batch)
        loss = returned.get("loss") if isinstance(returned, dict) else returned
        if not isinstance(loss, Tensor):
            raise TypeError(f"training_step must return the loss; got {type(loss).__name__}. Return it at its end.")
        return loss, None

    options.setdefault("forward", forward)
    return hessian_operator(module, _own, on_device_of(module, batches), **options)


def _own(loss: Tensor, targets: None) -> Tensor:
    return loss
