"""Checks of accuracy against closed forms and exact eigenvalues, on this machine; speed as it is."""

import itertools
import math
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hessdens._types import FloatArray
from hessdens.curvature import Plan, fisher_operator, ggn_operator, hessian_operator
from hessdens.curvature.plan import Mode
from hessdens.densities import Spectrum, compare, maximum_entropy
from hessdens.estimators import certified_counts, chebyshev_moments, exact_spectrum, lanczos_density, spectral_moments
from hessdens.linalg import Operator
from hessdens.loading import load_result
from hessdens.mixture import Grid, SkewNormalMixture, fit_mixture
from hessdens.reference import dense_hessian, outputs_by_parameters

# Seeds are fixed, so a check of noise gives the same z-scores everywhere, except for rounding.
MOST_STANDARD_ERRORS = 4.0
# The ways to make products that are exact to rounding.
EXACT_MODES: tuple[Mode, ...] = ("feedforward", "forward-over-reverse", "reverse-over-reverse")
# Layers so wide that the speed is that of arithmetic, not of launching it.
WIDTH = 256
# Examples of the batch that is timed.
NUM_EXAMPLES = 500
# Vectors that are multiplied at once: a usual block.
NUM_PROBES = 8


@dataclass(frozen=True)
class Outcome:
    """What one check has measured: a ``value``, and the ``limit`` that it must not exceed, None for a measurement."""

    name: str
    value: float
    limit: float | None
    unit: str

    @property
    def passed(self) -> bool:
        """Whether the value is within its limit; NaN is not."""
        return self.limit is None or self.value <= self.limit

    def __str__(self) -> str:
        mark = "    " if self.limit is None else "ok  " if self.passed else "FAIL"
        demand = "" if self.limit is None else f" (at most {self.limit:.2g})"
        return f"{mark} {self.name}: {self.value:.2g} {self.unit}{demand}"

    def to_dict(self) -> dict[str, Any]:
        """Return name, value (None if not finite), limit, unit and whether it passed."""
        value = self.value if math.isfinite(self.value) else None
        return {**asdict(self), "value": value, "passed": self.passed}


def run_check(check: Callable[[torch.device], Iterator[Outcome]], device: torch.device) -> list[Outcome]:
    """Return the outcomes of a check; one that raises has failed, and its traceback is on standard error."""
    try:
        return list(check(device))
    except Exception:
        traceback.print_exc()
        return [Outcome(check.__name__.replace("_", " "), math.nan, 0.0, "(it raised the error above)")]


def products(device: torch.device) -> Iterator[Outcome]:
    """Compare products in every way with torch's dense derivatives: Hessian, Gauss-Newton and Fisher matrix."""
    for dtype in (torch.float64, torch.float32):
        eps = torch.finfo(dtype).eps
        model, loss_fn, [(inputs, targets)] = problem = _problem(device, dtype)
        model.double()
        hessian = dense_hessian(model, loss_fn, inputs.double(), targets)
        gauss_newton = _gauss_newton(model, inputs.double())
        model.to(dtype)
        operators: list[tuple[str, Operator, Tensor]] = [
            *((f"Hessian, {mode}", hessian_operator(*problem, plan=Plan(mode)), hessian) for mode in EXACT_MODES),
            ("Gauss-Newton", ggn_operator(*problem), gauss_newton),
            ("Fisher", fisher_operator(*problem), gauss_newton),
        ]
        V = torch.randn(len(hessian), 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).to(device)
        for name, operator, dense in operators:
            error = operator.matmat(V.to(dtype)).double() - dense @ V
            relative = float(error.norm() / (dense @ V).norm())
            yield Outcome(f"products, {name}, {str(dtype)[6:]}", relative, 1e3 * eps, "relative error")


def exact_eigenvalues(device: torch.device) -> Iterator[Outcome]:
    """Solve linear regression, whose Hessian is 2 X^T X / n: eigenvalues from the singular values of X."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 40, dtype=torch.float64, generator=generator).to(device)
    model = nn.Linear(40, 1, bias=False).double().to(device)
    spectrum = exact_spectrum(hessian_operator(model, nn.MSELoss(), [(inputs, torch.zeros_like(inputs[:, :1]))]))
    expected = np.sort(2 * np.linalg.svd(inputs.cpu().numpy(), compute_uv=False) ** 2 / len(inputs))
    error = _relative_error(spectrum.eigenvalues, expected)
    yield Outcome("eigenvalues of linear regression", error, 1e-12, "relative error")


def estimates(device: torch.device) -> Iterator[Outcome]:
    """Compare moments and densities of a small network with its exact eigenvalues."""
    H = hessian_operator(*_problem(device, torch.float64))
    exact = exact_spectrum(H)
    for method in ("deflated", "skilling"):
        z = compare(spectral_moments(H, method=method, max_products=100), exact).z_scores
        yield Outcome(f"moments, {method}", float(np.abs(z).max()), MOST_STANDARD_ERRORS, "standard errors off")
    density = lanczos_density(H, max_products=100)
    largest = float(np.abs(density.nodes()[-1] / exact.eigenvalues[-1] - 1))
    yield Outcome("largest eigenvalue by Lanczos", largest, 1e-9, "relative error")
    window = float(exact.eigenvalues[-1]) / 10
    low, high = density.degenerate_interval(window, 0.9999)
    fraction = exact.fraction_degenerate(window)
    outside = max(low - fraction, fraction - high, 0.0)
    yield Outcome("degenerate fraction outside its 99.99% interval", outside, 1e-12, "")
    fewest, most = certified_counts(H, window=window, max_products=100).degenerate
    count = round(fraction * exact.size)
    yield Outcome("degenerate eigenvalues beyond their certified counts", max(fewest - count, count - most, 0), 0, "")
    defects = len(density.certificates.warnings())
    yield Outcome("defects of Lanczos above rounding", defects, 0, "")
    chebyshev = chebyshev_moments(H, 32, num_probes=8)
    z = compare(chebyshev.power_moments(4), exact).z_scores
    yield Outcome("Chebyshev moments", float(np.abs(z).max()), MOST_STANDARD_ERRORS, "standard errors off")
    distance = compare(maximum_entropy(chebyshev), exact).wasserstein / float(np.ptp(exact.eigenvalues))
    yield Outcome("maximum entropy, Wasserstein distance", distance, 0.01, "of the spectrum's length")


def mixture(device: torch.device) -> Iterator[Outcome]:
    """Search the paper's grid for a mixture that lies on it, from its moments in closed form."""
    grid, point = Grid.paper(), (60, 70, 30, 80)
    axes = (grid.weights, grid.locations, grid.scales, grid.shapes)
    on_grid = SkewNormalMixture(*(axis[index] for axis, index in zip(axes, point, strict=True)))
    fit = fit_mixture(on_grid.moments(4))
    wrong = sum(a != b for a, b in zip(fit.index, point, strict=True))
    yield Outcome("coordinates of a known mixture missed in 10^8", wrong, 0, "")


def files(device: torch.device) -> Iterator[Outcome]:
    """Save a result and load it again."""
    spectrum = Spectrum(np.random.default_rng(0).normal(size=1000))
    with tempfile.TemporaryDirectory() as folder:
        spectrum.save(Path(folder) / "spectrum.npz")
        loaded = load_result(Path(folder) / "spectrum.npz")
    same = isinstance(loaded, Spectrum) and np.array_equal(loaded.eigenvalues, spectrum.eigenvalues)
    yield Outcome("files that come back altered", 0 if same else 1, 0, "")


def devices(device: torch.device) -> Iterator[Outcome]:
    """Compare moments on the device with those on the CPU, from the same probes."""
    if device.type == "cpu":
        return
    values = []
    for place in (torch.device("cpu"), device):
        H = hessian_operator(*_problem(place, torch.float64))
        values.append(spectral_moments(H, method="skilling", num_probes=4).values)
    error = _relative_error(values[1], values[0])
    yield Outcome(f"moments on {device} and on the CPU", error, 1e-9, "relative difference")


def speed(device: torch.device) -> Iterator[Outcome]:
    """Time products of a multilayer perceptron, and its gradient."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(NUM_EXAMPLES, WIDTH, generator=generator).to(device)
    targets = torch.randint(0, 10, (NUM_EXAMPLES,), generator=generator).to(device)
    model, loss_fn = _layers([WIDTH] * 4 + [10], torch.float32).to(device), nn.CrossEntropyLoss()
    H = hessian_operator(model, loss_fn, [(inputs, targets)])
    V = torch.randn(H.size, NUM_PROBES, generator=generator).to(device)
    parameters = list(model.parameters())
    for _ in range(6):  # ways to make products are timed once there is enough work
        H @ V
    product = _fastest(lambda: H @ V, device) / NUM_PROBES
    gradient = _fastest(lambda: torch.autograd.grad(loss_fn(model(inputs), targets), parameters), device)
    yield Outcome(f"a gradient, {H.size:,} parameters, {NUM_EXAMPLES:,} examples", 1e3 * gradient, None, "ms")
    yield Outcome(f"a product, {NUM_PROBES} at once, {H.plan.mode}", product / gradient, None, "gradients")


CHECKS = (products, exact_eigenvalues, estimates, mixture, files, devices, speed)


def _layers(widths: list[int], dtype: torch.dtype) -> nn.Sequential:
    """Return a perceptron with tanh units and weights from a seed of its own."""
    generator = torch.Generator().manual_seed(1)
    modules: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out, dtype=dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(fan_out, fan_in, generator=generator) / fan_in**0.5)
            layer.bias.zero_()
        modules += [layer, nn.Tanh()]
    return nn.Sequential(*modules[:-1])


def _problem(device: torch.device, dtype: torch.dtype) -> tuple[nn.Module, nn.Module, list[tuple[Tensor, Tensor]]]:
    """Return a network of 211 parameters, its loss, and data."""
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(150, 8, dtype=torch.float64, generator=generator).to(device, dtype)
    targets = torch.randint(0, 3, (150,), generator=generator).to(device)
    return _layers([8, 16, 3], dtype).to(device), nn.CrossEntropyLoss(), [(inputs, targets)]


def _gauss_newton(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the Gauss-Newton matrix of the mean cross-entropy: J^T (diag(p) - p p^T) J for each example."""
    outputs, parameters = outputs_by_parameters(model, inputs)
    jacobian = torch.func.jacrev(outputs)(parameters)
    p = outputs(parameters).softmax(dim=1)
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    return torch.einsum("nai,nab,nbj->ij", jacobian, middle, jacobian) / len(inputs)


def _relative_error(value: FloatArray, expected: FloatArray) -> float:
    return float(np.linalg.norm(value - expected) / np.linalg.norm(expected))


def _fastest(work: Callable[[], object], device: torch.device, repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)
