"""Everything of the user's that products could change, as values to compare."""

import random
import signal
import threading
import warnings

import numpy as np
import torch
from torch._functorch import eager_transforms
from torch.autograd import forward_ad
from torch.utils import _python_dispatch

from hessdens.curvature.settings import BACKENDS, TURN


def state(model):
    """Return the user's state by name: model, random numbers, settings, what is open in torch, and the process."""
    return {**of_model(model), **random_numbers(), **settings(), **stacks(), **process()}


def changes(before, after):
    """Return the names of what is not the same, to the last bit."""
    return [name for name in {**before, **after} if not equal(before.get(name), after.get(name))]


def of_model(model):
    found = {}
    for path, module in model.named_modules(remove_duplicate=False):
        for name, value in vars(module).items():
            found[f"{path}.{name}"] = contents(value)
    for name, tensor in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]:
        found[f"values of {name}"] = (id(tensor), tensor.detach().clone(), tensor.requires_grad, contents(tensor.grad))
    return found


def contents(value):
    if isinstance(value, dict):
        return (id(value), *((name, contents(entry)) for name, entry in value.items()))
    if isinstance(value, list | tuple | set):
        return (id(value), *(contents(entry) for entry in value))
    if isinstance(value, torch.Tensor):
        return (id(value), value.detach().clone())
    return value if isinstance(value, int | float | str) else id(value)


def random_numbers():
    return {"torch": torch.get_rng_state(), "numpy": str(np.random.get_state()), "python": random.getstate()}  # noqa: NPY002


def readable(get):
    try:
        return get()
    except RuntimeError:  # torch refuses to read old switches after new ones were used
        return "unreadable"


def settings():
    nesting = torch.autocast_increment_nesting()
    torch.autocast_decrement_nesting()
    return {
        "precision": [backend.fp32_precision for backend in BACKENDS],
        "precision of matmul": readable(torch.get_float32_matmul_precision),
        "precision of cudnn": readable(lambda: torch.backends.cudnn.allow_tf32),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "flash": torch.backends.cuda.flash_sdp_enabled(),
        "efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
        "math": torch.backends.cuda.math_sdp_enabled(),
        "cudnn": torch.backends.cuda.cudnn_sdp_enabled(),
        "cache of autocast": torch.is_autocast_cache_enabled(),
        "autocast": [torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")],
        "depth of autocast": nesting,
        "grad mode": torch.is_grad_enabled(),
        "forward mode": torch._C._is_fwd_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "default dtype": torch.get_default_dtype(),
    }


def stacks():
    return {
        "function modes": torch._C._len_torch_function_stack(),
        "dispatch modes": torch._C._len_torch_dispatch_stack(),
        "in dispatch mode": _python_dispatch._is_in_torch_dispatch_mode,
        "transforms": torch._C._functorch.get_dynamic_layer_stack_depth(),
        "nested jvp": eager_transforms.JVP_NESTING,
        "dual level": forward_ad._current_level,
        "hooks of saved tensors": torch._C._autograd._saved_tensors_hooks_is_enabled(),
    }


def process():
    return {
        "filters": (id(warnings.filters), list(warnings.filters)),
        "showwarning": warnings.showwarning,
        "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)],
        "turn": is_free(TURN),
    }


def is_free(lock):
    found = []

    def look():
        found.append(lock.acquire(blocking=False))
        if found[0]:
            lock.release()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


def equal(first, second):
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)
