"""Memory: how much is free, and amounts of it in words."""

import psutil
import torch

SHARE_OF_FREE_MEMORY = 0.5


def free_memory(device: torch.device) -> int:
    """Return the bytes that a product may use by default: half of what is free."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        free -= torch.cuda.memory_allocated(device)
    else:
        free = psutil.virtual_memory().available
    return int(SHARE_OF_FREE_MEMORY * free)


def readable_bytes(count: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.3g} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
