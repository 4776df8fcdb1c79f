"""On what the results were computed."""

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hessdens


def environment(device: torch.device) -> dict[str, Any]:
    """Return processor, threads and versions."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hessdens": hessdens.__version__,
    }


def choose_device(name: str, index: int = 0) -> torch.device:
    """Return the device of that name; "auto" is CUDA where it is, and ``index`` says which of several."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda needs a CUDA device; torch finds none. Use --device cpu.")
    use_cuda = name != "cpu" and torch.cuda.is_available()
    return torch.device("cuda", index) if use_cuda else torch.device("cpu")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
