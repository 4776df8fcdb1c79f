"""Matrices that stand for means over examples, and the frame of a call without progress or checkpoint."""

import numpy as np
import torch

from hessdens import as_operator
from hessdens.multilevel.coupling import Setting
from hessdens.multilevel.quantities import MomentsOfAll, TracesOfAll
from hessdens.structure.accuracy import TraceAccuracy
from hessdens.structure.parts import Parts

TOTAL, SIZE = 4_096, 40
LAYERS = {"first": slice(0, 15), "second": slice(15, SIZE)}


class Bar:
    """Counts nothing."""

    def update(self, amount):
        pass


class Matrices:
    """Dense means of n independent matrices: a spectrum with outliers, indefinite in the bulk."""

    total = TOTAL

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        vectors = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0]
        values = np.concatenate([[9.0, 5.0, 3.0], rng.standard_normal(SIZE - 3) * 0.3])
        self.mean = vectors * values @ vectors.T
        self.scale = 6.0
        self.noise, self.operators = {}, {}
        self.rng = rng

    def matrix(self, n):
        """Return a mean of n matrices, a part of that of 2 n: deviations are those of a random walk."""
        counts = [TOTAL // 2**k for k in range(12)]
        if not self.noise:
            walk, before = np.zeros((SIZE, SIZE)), 0
            for count in sorted(counts):
                step = self.rng.standard_normal((SIZE, SIZE)) * self.scale * np.sqrt(count - before)
                walk, before = walk + (step + step.T) / 2, count
                self.noise[count] = walk / count
        return self.mean + self.noise[n] / np.sqrt(SIZE)

    def operator(self, n):
        if n not in self.operators:
            self.operators[n] = as_operator(torch.from_numpy(self.matrix(n)))
        return self.operators[n]


def setting(num_moments, seed, rtol=None):
    return Setting(MomentsOfAll(num_moments, rtol), seed, 8, None, Bar())


def trace_setting(seed, rtol=None, atol=None):
    """Return the frame of traces of two layers."""
    parts = Parts.of(as_operator(np.eye(SIZE)), LAYERS)
    return Setting(TracesOfAll(LAYERS, parts, TraceAccuracy(rtol, atol)), seed, 8, None, Bar())
