"""Settings of torch under which products are made: every operation differentiable twice, matrix products in full."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from hessdens.curvature.engines.replacement import TURN

_modules: Any = torch.backends
_vmap: Any = torch._C._functorch
BACKENDS: tuple[Any, ...] = (
    _modules.cuda.matmul,
    _modules.cudnn.conv,
    _modules.cudnn.rnn,
    _modules.mkldnn.matmul,
    _modules.mkldnn.conv,
    _modules.mkldnn.rnn,
)


@contextlib.contextmanager
def product_settings(*, tf32: bool) -> Iterator[None]:
    """Use the mathematical kernel of attention, no cache of autocast and, unless ``tf32``, full float32 precision.

    The fused kernels of attention have no second derivative; casts that autocast has cached outside of a derivative are
    constants inside it. Everything is as it was afterwards; threads take turns.
    """
    with TURN, sdpa_kernel(SDPBackend.MATH), contextlib.nullcontext() if tf32 else full_precision():
        fast = torch.backends.mha.get_fastpath_enabled()
        cache = torch.is_autocast_cache_enabled()
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            torch.set_autocast_cache_enabled(False)
            _vmap._set_vmap_fallback_warning_enabled(False)  # there is nothing that a user could do
            yield
        finally:
            _vmap._set_vmap_fallback_warning_enabled(True)
            torch.backends.mha.set_fastpath_enabled(fast)
            torch.set_autocast_cache_enabled(cache)


@contextlib.contextmanager
def same_random_state(seed: int | None = None) -> Iterator[None]:
    """Restore torch's global random state afterwards, on the CPU and, where it is in use, on CUDA; start from ``seed``.

    A device that is not in use yet is left alone: torch keeps its seeds in a queue.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        if seed is not None:
            for generator in (torch.default_generator, *(torch.cuda.default_generators[i] for i in devices)):
                generator.manual_seed(seed)
        yield


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
