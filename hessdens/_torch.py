"""What torch has under private names alone: each is looked up when it is used, and does not have to be there.

Where a version of torch lacks a name, another way is taken, which is slower or more careful. Importing hessdens needs
none of them. Not here are names that torch documents with an underscore, and the tables of ``nn.Module``, which stand
in every saved model.
"""

import inspect
import itertools
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn

Call = Callable[[Any, Any, Any], Any]


def private(name: str) -> Any:
    """Return what torch has under this dotted name, None where it has nothing."""
    value: Any = torch
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def dispatched(see: Call) -> AbstractContextManager[Any] | None:
    """Return a context in which ``see(func, args, kwargs)`` makes each operation's result; None where none can."""
    mode = private("utils._python_dispatch.TorchDispatchMode")
    if mode is None:
        return None

    class Dispatched(mode):  # type: ignore[misc, valid-type]
        @classmethod
        def _should_skip_dynamo(cls) -> bool:  # where it is said to, torch imports its compiler, for most of a second
            return may_be_compiled()

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return see(func, args, kwargs or {})

    return Dispatched()


def profiled_memory(function: Callable[[], Any]) -> int:
    """Return the most bytes in use during ``function()``, from torch's profiler; nothing else may be profiled then."""
    with torch.profiler.profile(profile_memory=True, acc_events=True) as profile:
        function()
    events = sorted(profile.events(), key=lambda event: event.time_range.end)
    sizes = (event.self_cpu_memory_usage + event.self_device_memory_usage for event in events)
    return max(itertools.accumulate(sizes), default=0)


def containers() -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """Return ``torch.func``'s functions that flatten containers and put others in their place; None where unknown."""
    functions = private("utils._pytree.tree_flatten"), private("utils._pytree.tree_unflatten")
    return None if None in functions else functions


def may_be_transformed() -> bool:
    """Return whether torch.func transforms the function that is under way; True where torch does not tell."""
    tells = private("_C._are_functorch_transforms_active")
    return tells is None or bool(tells())


def warn_of_slow_vmap(is_enabled: bool) -> None:
    """Set whether torch warns where it has no batched rule; where there is no such switch, it warns as it does."""
    switch = private("_C._functorch._set_vmap_fallback_warning_enabled")
    if switch is not None:
        switch(is_enabled)


def is_checkpointed() -> bool:
    """Return whether the forward pass of a checkpoint that is not reentrant is under way.

    Where torch does not tell, any checkpoint counts, also one without gradients.
    """
    top, checkpoint = private("_C._autograd._top_saved_tensors_default_hooks"), torch.utils.checkpoint.__name__
    if top is not None:
        hooks = top(True)
        return hooks is not None and hooks[0].__module__ == checkpoint
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") != checkpoint:
        frame = frame.f_back
    return frame is not None


def may_be_compiled() -> bool:
    """Return whether torch can have compiled anything yet; to ask for its compiler would import that."""
    return "torch._dynamo" in sys.modules


def as_written(compiled: Any) -> Any:
    """Return the original of what ``torch.compile`` has made, or what is given."""
    return getattr(compiled, "_orig_mod", getattr(compiled, "_torchdynamo_orig_callable", compiled))


def custom_function(operation: type) -> Any:
    """Return the custom function of which a class is the backward pass; the class where torch does not tell."""
    return getattr(operation, "_forward_cls", operation)


def sparse_parts(tensor: Tensor) -> list[Tensor]:
    """Return indices and values of a sparse tensor, as they are stored; of one without duplicates where unknown."""
    if hasattr(tensor, "_indices") and hasattr(tensor, "_values"):
        return [tensor._indices(), tensor._values()]
    whole = tensor.coalesce()
    return [whole.indices(), whole.values()]


def is_batch_norm(module: nn.Module) -> bool:
    """Return whether a module normalises over its batch, by torch's own class or one made of it."""
    public = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    return isinstance(module, private("nn.modules.batchnorm._BatchNorm") or public)


def is_dropout(module: Any) -> bool:
    """Return whether a module is one of torch's kinds of dropout, or made of one."""
    public = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
    return isinstance(module, private("nn.modules.dropout._DropoutNd") or public)
