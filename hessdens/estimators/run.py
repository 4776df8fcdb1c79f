"""The frame of every estimator: its operator and arguments, probes, finished work, progress and what it has cost."""

import os
import re
import time
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hessdens._checks import at_least, check_real, check_whole
from hessdens._types import FloatArray
from hessdens.estimators.checkpoint import Checkpoint, Recorded
from hessdens.linalg.adapt import as_operator
from hessdens.linalg.identity import run_identity
from hessdens.linalg.memory import free_bytes, readable_bytes
from hessdens.linalg.operator import Operator
from hessdens.linalg.probes import Distribution, check_probe_arguments, operator_probes
from hessdens.linalg.walk import Walk, products_per_probe
from hessdens.results.certificates import TOLERANCE, Certificates, versions

# Of spectra in units of their largest eigenvalue, powers beyond this one say nothing; work grows with K or K^3.
MOST_MOMENTS = 10_000


# Arguments of estimators, and what they are.
WHOLE_NUMBERS = frozenset(
    {"block_size", "k", "max_products", "num_moments", "num_probes", "num_steps", "num_vectors", "seed"}
)
ACCURACIES = frozenset({"atol", "rtol"})


def called_alike(function: str, A: Any, arguments: Mapping[str, Any], reals: Container[str] = ()) -> Operator:
    """Return ``A`` as an operator; RankError, on each of its processes, where these call with other arguments.

    This comes first in each estimator: a process that refuses its arguments alone would leave the others waiting.
    Raises TypeError if an argument that is a number in all estimators is none here; ``reals`` need not be whole.
    """
    operator = as_operator(A)
    facts = {name: _shown(value) for name, value in arguments.items() if name not in ("A", "operators", "progress")}
    if "checkpoint" in facts:  # each process may have a folder of its own
        facts["checkpoint"] = None if arguments["checkpoint"] is None else "a folder"
    operator.team.check_same({"function": function, **facts})
    for name, value in arguments.items():
        if name in WHOLE_NUMBERS and name not in reals and (value is not None or name == "seed"):
            check_whole(name, value)
        if (name in ACCURACIES or name in reals) and value is not None:
            check_real(name, value)
    return operator


def _shown(value: Any) -> str | int | float | None:
    """Return a number or None as it is, and the text of anything else, without places in memory."""
    if isinstance(value, np.number):
        value = value.item()
    return value if value is None or isinstance(value, int | float) else re.sub(r" at 0x\w+", "", str(value))


def check_memory(operator: Operator, needed: float, device: torch.device, what: str, advice: str) -> None:
    """Raise MemoryError, on all processes, if what is computed needs more bytes than are free on one of them."""
    free = operator.team.least(free_bytes(device))
    if needed > free:
        raise MemoryError(f"{what} needs about {readable_bytes(needed)}; {readable_bytes(free)} are free. {advice}")


class Bar(tqdm):  # type: ignore[misc]
    """A bar on standard error that is full at the end of work which took less than its total."""

    def __exit__(self, kind: Any, *error: Any) -> None:
        if kind is None:
            self.total = self.n
            self.refresh()
        super().__exit__(kind, *error)


def progress_bar(total: int, unit: str, *, of: str = "", shown: bool, is_limit: bool = False) -> Any:
    """Return a `Bar` that says what it counts, if it is to be shown.

    Where the total is a limit, which work may end far below, it is said to be one, and no time that is left.
    """
    what = f"{unit}s with the {of}" if of else f"{unit}s"
    if is_limit:
        what = f"{what}, {total:,} at most"
    return Bar(total=None if is_limit else total, desc=what, unit=f" {unit}s", disable=not shown)


class Run:
    """One call of an estimator, which hands its arguments on: ValueError if one of them is out of range.

    Finished work in the folder ``checkpoint`` depends on operator, probes and ``settings``. The clock starts here.
    ``asymmetry`` is the largest of all walks so far; NaN where there is none to tell.
    """

    def __init__(
        self,
        A: Any,
        num_moments: int = 1,
        seed: int = 0,
        distribution: Distribution = "gaussian",
        block_size: int = 1,
        *,
        num_probes: int = 2,
        checkpoint: str | os.PathLike[str] | None = None,
        settings: Mapping[str, str | int] | None = None,
        progress: bool = False,
    ) -> None:
        at_least("num_moments", num_moments, 1)
        if num_moments > MOST_MOMENTS:
            raise ValueError(f"num_moments must be at most {MOST_MOMENTS:,}; got {num_moments:,}.")
        at_least("block_size", block_size, 1)
        check_probe_arguments(num_probes, seed, distribution)
        self._start = time.perf_counter()
        self._num_moments = num_moments
        self._seed = seed
        self._distribution = distribution
        self.block_size = block_size
        self._progress = progress
        self.operator = as_operator(A)
        self.checkpoint: Checkpoint | None = None
        self.asymmetry = float("nan")
        if checkpoint is not None:
            identity = run_identity(self.operator, seed=seed, distribution=distribution, **(settings or {}))
            self.checkpoint = Checkpoint(checkpoint, identity, self.operator.team)

    @property
    def recorded(self) -> Operator:
        """The operator, whose products are kept in the checkpoint if there is one."""
        return self.operator if self.checkpoint is None else Recorded(self.operator, self.checkpoint)

    def bar(self, total: int, unit: str = "product", *, is_limit: bool = False) -> Any:
        """Return a `progress_bar`, shown where that is wanted."""
        return progress_bar(total, unit, of=self.operator.name, shown=self._progress, is_limit=is_limit)

    def probes(self, first: int, last: int) -> Tensor:
        """Return probes ``first`` to ``last - 1``, shape (N, P)."""
        return operator_probes(self.operator, self._seed, first, last, self._distribution)

    def blocks(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield beginnings and ends of blocks of ``block_size``."""
        for start in range(first, last, self.block_size):
            yield start, min(start + self.block_size, last)

    def check_samples(self, count: int) -> None:
        """Raise MemoryError if estimates from so many probes do not fit."""
        what = f"An estimate of {self._num_moments:,} moments from {count:,} probes"
        check_memory(self.operator, 2 * 8 * count * self._num_moments, torch.device("cpu"), what, "Take fewer.")

    def samples(
        self,
        first: int,
        last: int,
        walk_from: Callable[[Tensor, int], Walk],
        layout: Mapping[str, str],
        bar: Any,
    ) -> FloatArray:
        """Return moments of probes ``first`` to ``last - 1``, shape (P, K), block by block, from finished work or anew.

        ``walk_from`` takes probes and the number of the first; ``layout`` is that of its files.
        """
        self.check_samples(last - first)
        samples = np.empty((last - first, self._num_moments))
        for start, stop in self.blocks(first, last):
            name = f"probes-{start}-{stop}"
            arrays = None
            if self.checkpoint is not None:
                arrays = self.checkpoint.load(name, layout, P=stop - start, N=self.operator.num_rows)
            if arrays is None:  # handed over without a name, so that probes are freed once their first product is made
                walk = walk_from(self.probes(start, stop), start)
            else:
                vectors = torch.from_numpy(arrays["vectors"]).to(self.operator.device, self.operator.dtype)
                walk = walk_from(vectors.T, start).resumed(arrays)
            steps = walk.num_steps
            samples[start - first : stop - first] = walk.moments(self._num_moments)
            if self.checkpoint is not None and walk.num_steps > steps:
                self.checkpoint.save(name, walk.to_arrays())
            self.asymmetry = float(np.fmax(self.asymmetry, walk.asymmetry))
            bar.update((stop - start) * products_per_probe(self._num_moments))
        return samples

    def certificates(self, num_products: int, **defects: float) -> Certificates:
        """Return defects, by name, and what this run has cost so far."""
        return Certificates(
            threshold=TOLERANCE * torch.finfo(self.operator.dtype).eps,
            num_products=num_products,
            seconds=time.perf_counter() - self._start,
            versions=versions(torch=torch.__version__),
            matrix=self.operator.name,
            **defects,
        )
