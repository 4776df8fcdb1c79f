"""Hypothesis strategies and assertions for property-based tests against exact eigenvalues.

For the tests of this library and of any project that computes with spectra. Needs the extra ``hessdens[testing]``.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from hessdens._types import FloatArray
from hessdens.densities.spectrum import Spectrum
from hessdens.reference import dense_hessian
from hessdens.results.moments import Moments

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"hessdens.testing needs Hypothesis; got {error}. Install it with: pip install 'hessdens[testing]'.",
        name=error.name,
    ) from error


@st.composite
def spectra(draw: st.DrawFn, *, min_size: int = 1, max_size: int = 30, max_magnitude: float = 1e3) -> FloatArray:
    """Draw eigenvalues, shape (N,), of the kinds that Hessians have.

    Kinds: indefinite without structure, definite, mostly zero with a few outliers, few distinct values, a bulk of tiny
    ones and a single large one. All have magnitude <= ``max_magnitude``.
    """
    size = draw(st.integers(min_size, max_size))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = max_magnitude * 10.0 ** -draw(st.integers(0, 4))
    kind = draw(st.sampled_from(["indefinite", "definite", "outliers", "repeated", "spike"]))
    uniform = rng.uniform(-1, 1, size)
    return (
        scale
        * {
            "indefinite": uniform,
            "definite": np.abs(uniform),
            "outliers": np.where(rng.random(size) < 0.2, uniform, 0.0),
            "repeated": rng.choice([-1.0, 0.0, 0.5, 1.0], size),
            "spike": np.where(np.arange(size) == 0, 1.0, 1e-4 * uniform),
        }[kind]
    )


@st.composite
def symmetric_matrices(draw: st.DrawFn, eigenvalues: Any = None) -> tuple[FloatArray, FloatArray]:
    """Draw a symmetric float64 matrix, shape (N, N), together with its exact eigenvalues, shape (N,), ascending.

    ``eigenvalues`` is an array or a strategy of arrays; default: `spectra`. The eigenvectors are random (Haar).
    """
    if eigenvalues is None:
        eigenvalues = spectra()
    values = np.sort(draw(eigenvalues) if isinstance(eigenvalues, st.SearchStrategy) else np.asarray(eigenvalues))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rotated(values, rng), values


def rotated(eigenvalues: ArrayLike, rng: np.random.Generator) -> FloatArray:
    """Return a symmetric matrix with these eigenvalues and random eigenvectors."""
    values = np.asarray(eigenvalues, dtype=np.float64)
    basis, triangle = np.linalg.qr(rng.standard_normal((len(values), len(values))))
    basis *= np.sign(np.diag(triangle))
    matrix: FloatArray = (basis * values) @ basis.T
    return (matrix + matrix.T) / 2


@dataclass(frozen=True)
class NetworkCase:
    """A small network with data as `hessdens.hessian_operator` takes them; float64, batches of unequal length."""

    model: nn.Module
    loss_fn: Callable[[Tensor, Tensor], Tensor]
    data: list[tuple[Tensor, Tensor]]

    def dense_hessian(self) -> Tensor:
        """Return the Hessian by ``torch.func.hessian`` of the loss of all examples in one batch, shape (N, N)."""
        inputs, targets = (torch.cat(parts) for parts in zip(*self.data, strict=True))
        return dense_hessian(self.model, self.loss_fn, inputs, targets)


@st.composite
def networks(draw: st.DrawFn, *, max_width: int = 5, max_depth: int = 2, max_examples: int = 12) -> NetworkCase:
    """Draw a small multilayer perceptron with data: smooth or ReLU units, cross-entropy or squared error."""
    widths = draw(st.lists(st.integers(1, max_width), min_size=2, max_size=max_depth + 2))
    activation: type[nn.Module] = draw(st.sampled_from([nn.Tanh, nn.Softplus, nn.ReLU]))
    classification = draw(st.booleans())
    lengths = draw(st.lists(st.integers(1, max_examples), min_size=1, max_size=3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layer = nn.Linear(inputs, outputs, dtype=torch.float64)
        layer.weight.data, layer.bias.data = normal(outputs, inputs), normal(outputs)
        layers += [layer, activation()]
    batches = []
    for length in lengths:
        classes = torch.randint(0, widths[-1], (length,), generator=generator)
        batches.append((normal(length, widths[0]), classes if classification else normal(length, widths[-1])))
    loss_fn = nn.CrossEntropyLoss() if classification else nn.MSELoss()
    return NetworkCase(nn.Sequential(*layers[:-1]), loss_fn, batches)


def assert_moments_agree(
    moments: Moments, exact: Spectrum | ArrayLike, *, num_standard_errors: float = 6.0, rtol: float = 1e-9
) -> None:
    """Fail unless each moment lies within its own reported uncertainty of the exact one.

    Parameters
    ----------
    moments
        The estimate, from enough probes (say 100) that its standard errors are reliable.
    exact
        The exact spectrum, or eigenvalues of shape (N,).
    num_standard_errors
        Tolerance in units of the reported standard error. Samples are skewed, so 6 rather than 4 for a single estimate.
    rtol
        Allowance for rounding, relative to the moment of the absolute eigenvalues.
    """
    spectrum = exact if isinstance(exact, Spectrum) else Spectrum(np.asarray(exact, dtype=np.float64))
    order = len(moments.values)
    rounding = rtol * Spectrum(np.abs(spectrum.eigenvalues)).moments(order)
    allowed = num_standard_errors * moments.standard_errors + rounding
    deviation = moments.values - spectrum.moments(order)
    bad = np.nonzero(~(np.abs(deviation) <= allowed))[0]
    if len(bad):
        k = int(bad[0])
        raise AssertionError(
            f"m_{k + 1} must be within {num_standard_errors} standard errors of the exact "
            f"{spectrum.moments(order)[k]:.6e}; got {moments.values[k]:.6e} ± {moments.standard_errors[k]:.1e}, "
            f"{abs(deviation[k]) / max(moments.standard_errors[k], 1e-300):.1f} standard errors away."
        )
