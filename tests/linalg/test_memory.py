"""Free memory, by one rule for all, and amounts of it in words."""

import contextlib

import psutil
import pytest
import torch

from hessdens import as_operator
from hessdens.estimators.exact import check_size
from hessdens.linalg.memory import free_bytes, readable_bytes, usual_bytes

CUDA = torch.device("cuda", 0)


@pytest.fixture
def full_gpu(monkeypatch):
    """Let a GPU have 1,000 bytes that are free, and 5,000 that torch's allocator holds, of which 2,000 are in use."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2000)


@pytest.mark.usefixtures("full_gpu")
def test_memory_that_torch_holds_in_reserve_is_free():
    assert free_bytes(CUDA) == 4000
    assert usual_bytes(CUDA) == 2000


@pytest.mark.usefixtures("full_gpu")
def test_exact_spectrum_takes_what_torch_holds_in_reserve():
    for size, fits in ((12, True), (13, False)):  # 3.1 matrices: 3,571 and 4,191 bytes
        operator = as_operator(lambda V: V, size=size, device=CUDA, check_symmetric=False)
        with contextlib.nullcontext() if fits else pytest.raises(MemoryError, match=r"3\.91 KiB are free"):
            check_size(operator, max_size=100)


def test_memory_of_the_processor(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 3001})())
    assert free_bytes(torch.device("cpu")) == 3001
    assert usual_bytes(torch.device("cpu")) == 1500


def test_amounts_in_words():
    assert [readable_bytes(n) for n in (100, 2048, 3 * 2**20, 5 * 2**30)] == ["100 bytes", "2 KiB", "3 MiB", "5.0 GiB"]
    assert [readable_bytes(n) for n in (999, 1024, 2**20)] == ["999 bytes", "1 KiB", "1 MiB"]
