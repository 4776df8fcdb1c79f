"""Memory: how much is free, and amounts of it in words."""

import psutil
import torch

# Of what is free, what a computation takes unasked.
USUAL_SHARE = 0.5


def free_bytes(device: torch.device) -> int:
    """Return the bytes that a computation may use, with those that torch's allocator holds in reserve on CUDA."""
    if device.type != "cuda":
        return int(psutil.virtual_memory().available)
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def usual_bytes(device: torch.device) -> int:
    """Return the bytes that a computation uses where the user sets no limit: half of what is free."""
    return int(USUAL_SHARE * free_bytes(device))


def readable_bytes(count: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.3g} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
