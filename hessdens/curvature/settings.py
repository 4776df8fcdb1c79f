"""What products change and put back: settings of torch, the model, random numbers, and what signals do."""

import contextlib
import random
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from hessdens._torch import warn_of_slow_vmap
from hessdens.curvature.engines.replacement import (
    INTERRUPTS,
    put_back,
    put_content_back,
    raise_interrupt,
    random_states,
)

Handler = Callable[[int, FrameType | None], Any]
# Threads take turns.
TURN = threading.RLock()
# Those by which a program is asked to stop, or to hurry.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGBREAK")
    if hasattr(signal, name)
)

_modules: Any = torch.backends
BACKENDS: tuple[Any, ...] = (
    _modules.cuda.matmul,
    _modules.cudnn.conv,
    _modules.cudnn.rnn,
    _modules.mkldnn.matmul,
    _modules.mkldnn.conv,
    _modules.mkldnn.rnn,
)


class Undisturbed:
    """Within it signals cut no evaluation of a model off; after it, all that is the user's is as it was.

    That is: the attributes of all modules in ``owners``, ``requires_grad`` of parameters there, gradients that they
    hold, which are set aside as long as it lasts (a loss may call ``backward``), and random numbers of torch, NumPy and
    Python. Whatever evaluates a model does so ``with TURN, Undisturbed(model)``.

    KeyboardInterrupt, or what else the handler of a signal raises, waits until the next evaluation or batch begins:
    torch's own contexts are left open where it strikes while they open or close. A second one does not wait.
    """

    def __init__(self, *owners: Any) -> None:
        modules = [module for owner in owners if isinstance(owner, nn.Module) for module in owner.modules()]
        self._containers = [record for module in modules for record in _containers(module)]
        self._parameters = [(p, p.grad, p.requires_grad) for module in modules for p in module.parameters(False)]
        self._torch = random_states()
        self._others = random.getstate(), np.random.get_state()  # noqa: NPY002
        self._handlers: list[tuple[int, Handler, Handler]] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # where handlers run
            present = [(number, signal.getsignal(number)) for number in SIGNALS]
            self._handlers = [(number, old, _waiting(old)) for number, old in present if callable(old)]
            try:
                for number, _, new in self._handlers:
                    signal.signal(number, new)
            except BaseException:  # of a signal whose turn had not come
                surely(self._put_handlers_back)
                raise
        try:
            for parameter, gradient, _ in self._parameters:
                if gradient is not None:
                    parameter.grad = None
        except BaseException:
            surely(self._restore)
            surely(self._put_handlers_back)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            surely(self._restore)
        finally:
            try:
                surely(self._put_handlers_back)
            finally:
                if self._handlers:
                    raise_interrupt()

    def _restore(self) -> None:
        for present, past in self._containers:
            if present or past:  # most hold nothing
                put_content_back(present, past)
        for parameter, gradient, requires_grad in self._parameters:
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)
            if parameter.grad is not gradient:
                parameter.grad = gradient
        put_back(self._torch)
        random.setstate(self._others[0])
        np.random.set_state(self._others[1])  # noqa: NPY002

    def _put_handlers_back(self) -> None:
        for number, old, new in self._handlers:
            if signal.getsignal(number) is new:
                signal.signal(number, old)


def surely(function: Callable[[], None]) -> None:
    """Call a function that does no harm twice, again if something strikes meanwhile."""
    try:
        function()
    except BaseException:
        function()
        raise


def _waiting(handler: Handler) -> Handler:
    """Return a handler whose error waits, unless another one does already."""

    def waiting(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            if INTERRUPTS:
                raise
            INTERRUPTS.append(error)

    return waiting


def _containers(module: nn.Module) -> list[tuple[Any, Any]]:
    """Return the attributes of a module, and the containers among them, each with a copy."""
    attributes = vars(module)
    inner = [(value, kind) for value in attributes.values() for kind in (dict, list, set) if isinstance(value, kind)]
    return [(container, kind(container)) for container, kind in [(attributes, dict), *inner]]


@contextlib.contextmanager
def product_settings(*, tf32: bool) -> Iterator[None]:
    """Use the mathematical kernel of attention, no cache of autocast and, unless ``tf32``, full float32 precision.

    The fused kernels of attention have no second derivative; casts that autocast has cached outside of a derivative are
    constants inside it. Everything is as it was afterwards.
    """
    with sdpa_kernel(SDPBackend.MATH), contextlib.nullcontext() if tf32 else full_precision():
        fast = torch.backends.mha.get_fastpath_enabled()
        cache = torch.is_autocast_cache_enabled()
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            torch.set_autocast_cache_enabled(False)
            warn_of_slow_vmap(False)  # there is nothing that a user could do
            yield
        finally:
            warn_of_slow_vmap(True)  # as usual: torch does not tell
            torch.backends.mha.set_fastpath_enabled(fast)
            torch.set_autocast_cache_enabled(cache)


@contextlib.contextmanager
def same_random_state(seed: int) -> Iterator[None]:
    """Start torch's global generators that are in use from ``seed``, and give them their states back afterwards."""
    states = random_states()
    try:
        for generator, _ in states:
            generator.manual_seed(seed)
        yield
    finally:
        put_back(states)


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Switch TF32 and bfloat16 off in matrix products and convolutions of float32.

    Torch has older switches for the same thing, which it refuses to read when they contradict the newer ones: so both
    are set, the newer last.
    """
    precisions = [backend.fp32_precision for backend in BACKENDS]
    matmul = _readable(torch.get_float32_matmul_precision)
    cudnn = _readable(lambda: torch.backends.cudnn.allow_tf32)
    try:
        _set_older(None if matmul is None else "highest", None if cudnn is None else False)
        for backend in BACKENDS:
            backend.fp32_precision = "ieee"
        yield
    finally:
        _set_older(matmul, cudnn)
        for backend, precision in zip(BACKENDS, precisions, strict=True):
            backend.fp32_precision = precision


def _readable(read: Callable[[], Any]) -> Any:
    """Return the value of an older switch, None if only the newer ones are in use."""
    try:
        return read()
    except RuntimeError:
        return None


def _set_older(matmul: str | None, cudnn: bool | None) -> None:
    if matmul is not None:
        torch.set_float32_matmul_precision(matmul)
    if cudnn is not None:
        torch.backends.cudnn.allow_tf32 = cudnn
