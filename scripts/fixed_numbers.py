"""Print numbers of fixed problems to the last bit: two runs, before and after a change, are compared with ``diff``."""

import functools
import hashlib
import json
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hessdens import (
    Plan,
    SpectrumMonitor,
    as_operator,
    compare,
    exact_spectrum,
    fisher_operator,
    fit_mixture,
    ggn_operator,
    hessian_operator,
    lanczos_density,
    load_result,
    plot_density,
    spectral_moments,
)
from hessdens.curvature import CurvatureOperator
from hessdens.densities import (
    cdf_bounds,
    degenerate_bounds,
    kernel_polynomial,
    maximum_entropy,
    negative_bounds,
)
from hessdens.estimators import chebyshev_moments, data_noise
from hessdens.linalg import Operator
from hessdens.mixture import Grid, fit_uncertainty
from hessdens.monitor import SpectrumHistory, csv_logger
from hessdens.plotting import plot_history
from hessdens.results import ChebyshevMoments
from hessdens.results.chebyshev import chebyshev_from_power
from hessdens.results.support import Interval
from hessdens.structure import layer_moments

# Of results, fields that differ from run to run; and the same in text.
VARYING = {"seconds", "versions"}
VARYING_TEXT = re.compile(r"[^ ]+ s, hessdens .*")
MODES = ("feedforward", "forward-over-reverse", "reverse-over-reverse")
X = np.linspace(-1.0, 3.0, 41)
LOSS = nn.CrossEntropyLoss()
Numbers = Iterator[tuple[str, Any]]


class OnceDifferentiable(torch.autograd.Function):
    """A tanh that torch can differentiate once only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return tanh(x)."""
        ctx.save_for_backward(x.tanh())
        return x.tanh()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient in x."""
        return gradient * (1 - ctx.saved_tensors[0] ** 2)


def once_differentiable_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return a cross-entropy that has products by central differences only."""
    return LOSS(OnceDifferentiable.apply(outputs), targets)


class Clock:
    """One second a step of training, ten a measurement: turned by the loop, and by a logger."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def logger(self, step: int, numbers: Mapping[str, float]) -> None:
        """Let a measurement take its time."""
        self.now += 10.0


def plan(mode: Any = "reverse-over-reverse") -> Plan:
    """Return a plan that leaves nothing open."""
    return Plan(mode, examples_per_block=8, probes_per_block=3, cuda_graph=False)


def normal(*shape: int, seed: int = 1) -> Tensor:
    """Return standard normal numbers that depend on shape and seed alone."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def examples(*shape: int) -> list[tuple[Tensor, Tensor]]:
    """Return two batches of 30 examples of this shape, in three classes."""
    inputs, noise = normal(30, *shape, seed=2), normal(30, 3, seed=3)
    targets = (inputs.flatten(1)[:, :3] + 0.3 * noise).argmax(dim=1)
    return [(inputs[:20], targets[:20]), (inputs[20:], targets[20:])]


def multilayer() -> nn.Sequential:
    """Return a multilayer perceptron."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5), nn.GELU(), nn.Linear(5, 4), nn.Linear(4, 3)
    ).double()


def convolutional() -> nn.Sequential:
    """Return a convolutional network in evaluation mode."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 3)]
    return nn.Sequential(*layers).double().eval()


def train(model: nn.Module, num_steps: int) -> Iterator[int]:
    """Make steps of training, and yield the number of those made after each."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for step in range(1, num_steps + 1):
        for inputs, targets in examples(6):
            optimizer.zero_grad()
            LOSS(model(inputs), targets).backward()
            optimizer.step()
        yield step


@functools.cache
def trained(num_steps: int) -> CurvatureOperator:
    """Return the Hessian of the multilayer perceptron after so many steps."""
    model = multilayer()
    for _ in train(model, num_steps):
        pass
    return hessian_operator(model, LOSS, examples(6), plan=plan())


def product(operator: Operator) -> Tensor:
    """Return the products with seven vectors."""
    return operator.matmat(normal(operator.size, 7).to(operator.dtype))


def products() -> Numbers:
    """Products of every engine and matrix, and of sums of operators."""
    for kind, network, data in (("mlp", multilayer, examples(6)), ("cnn", convolutional, examples(1, 6, 6))):
        for mode in MODES if kind == "mlp" else MODES[1:]:
            hessian = hessian_operator(network(), LOSS, data, plan=plan(mode))
            yield f"product.{kind}.hessian.{mode}", product(hessian)
            yield f"product.{kind}.ggn.{mode}", product(ggn_operator(network(), LOSS, data, plan=plan(mode)))
        yield f"product.{kind}.loss", hessian.loss()
        for fisher in ("exact", "monte-carlo", "empirical"):
            options: Any = {"kind": fisher, "num_samples": 2, "plan": plan()}
            yield f"product.{kind}.fisher.{fisher}", product(fisher_operator(network(), LOSS, data, **options))
        yield f"product.{kind}.origin", hessian.origin()
    data = examples(6)
    for loss in (nn.MSELoss(), nn.BCEWithLogitsLoss()):
        binary = [(inputs, (normal(len(inputs), 3, seed=4) > 0).double()) for inputs, _ in data]
        for mode in MODES[::2]:
            operator = hessian_operator(multilayer(), loss, binary, plan=plan(mode))
            yield f"product.{type(loss).__name__}.hessian.{mode}", product(operator)
        operator = fisher_operator(multilayer(), loss, binary, kind="monte-carlo", plan=plan("feedforward"))
        yield f"product.{type(loss).__name__}.fisher", product(operator)
    single = [(inputs.float(), targets) for inputs, targets in data]
    yield "product.float32", product(hessian_operator(multilayer().float(), LOSS, single, plan=plan("feedforward")))
    part = hessian_operator(multilayer(), LOSS, data, parameters="*.weight", plan=plan("forward-over-reverse"))
    yield "product.weights_only", product(part)
    with warnings.catch_warnings(action="ignore"):  # of differences
        differences = hessian_operator(multilayer(), once_differentiable_loss, data, plan=plan("central-differences"))
    yield "product.central-differences", product(differences)
    yield "product.central-differences.error", differences.product_error
    gauss_newton = ggn_operator(multilayer(), LOSS, data, plan=plan())
    hessian = hessian_operator(multilayer(), LOSS, data, plan=plan())
    yield "operators.sum", product(hessian - 0.5 * gauss_newton + 5e-4 * hessian.identity())
    yield "operators.scipy", hessian.to_scipy().matmat(normal(hessian.size, 3).numpy())


def moments(folder: Path) -> Numbers:
    """Power and Chebyshev moments, of whole matrices, layers and batches."""
    H = trained(30)
    deflated = spectral_moments(H, 6, max_products=60, seed=1)
    yield from ((f"moments.deflated.m_{k}", value) for k, value in enumerate(deflated.values, start=1))
    yield "moments.deflated", deflated
    yield "moments.interval", deflated.interval(0.9)
    yield "moments.hankel_eigenvalue", deflated.hankel_eigenvalue()
    yield "moments.skilling", spectral_moments(H, method="skilling", num_probes=7, distribution="rademacher")
    yield "moments.rtol", spectral_moments(H, rtol=0.02)
    yield "moments.skilling.rtol", spectral_moments(H, 3, method="skilling", rtol=0.2)
    yield "moments.dense", spectral_moments(np.diag(np.arange(40.0)), max_products=30)
    for method, count, order in (("skilling", 4, 4), ("skilling", 9, 7), ("deflated", 10, 4), ("deflated", 14, 4)):
        options: Any = {"method": method, "num_probes": count, "checkpoint": folder / method}
        yield f"moments.{method}.checkpoint.{count}", spectral_moments(H, order, **options)
    yield "layers", layer_moments(H, num_probes=5)
    batches = [hessian_operator(multilayer(), LOSS, [batch], plan=plan()) for batch in examples(6)]
    yield "data_noise", data_noise(batches, weights=[20, 10], num_probes=6)
    chebyshev = chebyshev_moments(H, 24, num_probes=5)
    yield "chebyshev.mu_24", chebyshev.values[-1]
    yield "chebyshev", chebyshev
    yield "chebyshev.toeplitz_eigenvalue", chebyshev.toeplitz_eigenvalue()
    for order in (8, 13):
        options = {"support": (-2.0, 9.0), "num_probes": 3, "checkpoint": folder / "chebyshev"}
        yield f"chebyshev.checkpoint.{order}", chebyshev_moments(H, order, **options)
    yield "chebyshev.to_power", chebyshev.power_moments(6)
    yield "chebyshev.from_power", chebyshev_from_power(deflated, chebyshev.support)
    eigenvalues = exact_spectrum(H).eigenvalues
    yield "chebyshev.from_quadrature", ChebyshevMoments.from_quadrature(eigenvalues, np.full(H.size, 1 / H.size), 20)


def densities(folder: Path) -> Numbers:
    """Lanczos densities and what they answer, changes between them, and exact spectra."""
    H = trained(30)
    others: Any = {"low_memory": {"num_steps": 20, "num_probes": 3, "low_memory": True}, "long": {"max_products": 400}}
    for name, options in {"default": {}, "small": {"num_steps": 5, "num_probes": 2, "seed": 3}, **others}.items():
        density = lanczos_density(H, **options)
        yield f"lanczos.{name}", density
        yield f"lanczos.{name}.degenerate", density.fraction_degenerate()
        yield f"lanczos.{name}.negative", density.fraction_negative(0.02)
        yield f"lanczos.{name}.intervals", [density.degenerate_interval(), density.negative_interval(0.02, 0.9)]
        yield f"lanczos.{name}.bandwidth", density.bandwidth()
        yield f"lanczos.{name}.cdf", [density.cdf(X), density.cdf_interval(X)]
        yield f"lanczos.{name}.pdf", [density.pdf(X), density.pdf_interval(X, bandwidth=0.1)]
        yield f"lanczos.{name}.moments", [density.moments(5), density.moments_interval(4), density.moment_samples(3)]
        yield f"lanczos.{name}.mass", [density.mass(0.0, 0.5), density.mass_interval(X)]
        yield f"lanczos.{name}.found", [density.eigenvalues_found, density.eigenvalue_errors, density.nodes()]
    for count in (4, 9):
        kept = lanczos_density(H, num_steps=count, num_probes=3, checkpoint=folder / "lanczos")
        yield f"lanczos.checkpoint.{count}", kept
    before, after = (lanczos_density(trained(count), max_products=40) for count in (25, 30))
    change = before.difference(after, window=0.1)
    yield "difference", [change, change.interval(), change.gain]
    exact = exact_spectrum(H, block_size=16)
    yield "exact.largest", exact.eigenvalues[-1]
    yield "exact.smallest", exact.eigenvalues[0]
    yield "exact", [exact, exact.moments(4), exact.cdf(X), exact.pdf(X), exact.fraction_degenerate(0.01)]


def from_moments() -> Numbers:
    """Give what moments alone say: bounds, densities, comparisons and mixtures."""
    H = trained(30)
    exact, power, chebyshev = exact_spectrum(H), spectral_moments(H, 4, seed=2), chebyshev_moments(H, 20)
    for name, source in (("exact", exact.moments(6)), ("power", power), ("chebyshev", chebyshev)):
        yield f"bounds.{name}.cdf", cdf_bounds(source, X)
        yield f"bounds.{name}.fractions", [degenerate_bounds(source), negative_bounds(source)]
    estimates: Any = {"kernel_polynomial": kernel_polynomial(chebyshev)}
    estimates |= {"kernel_polynomial.dirichlet": kernel_polynomial(chebyshev, kernel="dirichlet")}
    estimates |= {"maximum_entropy": maximum_entropy(chebyshev), "maximum_entropy.power": maximum_entropy(power)}
    for name, density in estimates.items():
        yield name, density
        yield f"{name}.answers", [density.pdf(X), density.cdf(X), density.moments(4), density.fraction_degenerate()]
        yield f"{name}.kolmogorov", compare(density, exact).kolmogorov
    for name, estimate in (("moments", power), ("lanczos", lanczos_density(H))):
        yield f"compare.{name}", compare(estimate, exact, window=0.1)
    yield "compare.wasserstein", compare(lanczos_density(H), exact).wasserstein
    grid = Grid.for_moments(power, num_points=15)
    yield "grid", grid
    for backend in ("numba", "numba-exhaustive", "numpy"):
        yield f"fit.{backend}", fit_mixture(power, grid=grid, backend=backend)
    fit = fit_mixture(power)
    yield "fit.paper.objective", fit.objective
    yield "fit.paper", [fit, fit.mixture.pdf(X), fit.mixture.cdf(X), fit.mixture.moments(4)]
    uncertain = fit_uncertainty(power, grid=grid, num_draws=40)
    yield "fit_uncertainty", [uncertain, uncertain.parameters_interval(), uncertain.cdf_interval(X)]


def watched(folder: Path) -> SpectrumHistory:
    """Return what a monitor has seen of a short training run."""
    clock, model = Clock(), multilayer()
    options: Any = {"loggers": (csv_logger(folder / "monitor.csv"), clock.logger), "clock": clock}
    monitor = SpectrumMonitor(model, LOSS, examples(6), plan=plan(), max_products=30, overhead=2.0, **options)
    for step in train(model, 40):
        clock.now += 1.0
        monitor(step)
    return monitor.history


def monitoring(folder: Path) -> Numbers:
    """Give the history of a training run by a clock of its own."""
    history = watched(folder)
    yield "monitor.steps", history.steps
    yield "monitor", history
    for name in ("loss", "m_2", "degenerate", "largest", "measuring_seconds"):
        yield f"monitor.{name}", history.values(name)
    yield "monitor.interval", history.interval("negative", window=0.05)
    yield "monitor.difference", history.difference(*history.steps[[0, -1]].tolist())
    yield "monitor.csv", (folder / "monitor.csv").read_text()
    yield "monitor.plot", [line.get_xydata() for axes in plot_history(history) for line in axes.lines]


def files_and_text(folder: Path) -> Numbers:
    """Results of every kind: what comes back from their files, what they print, and their summaries."""
    H = trained(30)
    exact, density, power = exact_spectrum(H), lanczos_density(H, max_products=60), spectral_moments(H)
    chebyshev, grid = chebyshev_moments(H, 16), Grid.for_moments(power, num_points=10)
    fit = fit_mixture(power, grid=grid)
    results: Any = [exact, density, power, chebyshev, fit, fit.mixture, kernel_polynomial(chebyshev)]
    results += [maximum_entropy(chebyshev), compare(density, exact), watched(folder)]
    results += [data_noise([H, trained(25)], num_probes=3), fit_uncertainty(power, grid=grid, num_draws=20)]
    for result in results:
        path = folder / "result.npz"
        result.save(path)
        back = load_result(path)
        assert digest(back) == digest(result)
        kind = type(result).__name__
        with np.load(path) as arrays:
            yield f"file.{kind}.names", sorted(arrays.files)
        yield f"file.{kind}", back
        yield f"text.{kind}", VARYING_TEXT.sub("", str(back))
        numbers = {name: value for name, value in back.numbers().items() if name not in VARYING}
        yield f"summary.{kind}", json.dumps(numbers, sort_keys=True)
    for text in (grid, density.difference(density), H, as_operator(np.eye(3))):
        yield f"text.{type(text).__name__}", str(text)
    yield "plot_density", [line.get_xydata() for line in plot_density(density, exact=exact).lines]


def pieces(value: Any) -> Iterator[bytes]:
    """Yield the bytes of everything in ``value``, except names of classes and fields, times and versions."""
    if isinstance(value, Interval):
        yield from pieces(list(value))
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            if field.name not in VARYING:
                yield from pieces(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield from pieces(list(value.items()))
    elif isinstance(value, list | tuple):
        yield f"{len(value)} items".encode()
        for item in value:
            yield from pieces(item)
    elif isinstance(value, Tensor | np.ndarray):
        array = np.ascontiguousarray(value)
        yield f"{array.dtype} {array.shape}".encode()
        yield array.tobytes()
    else:
        assert isinstance(value, str | int | float | np.generic | None), type(value)
        yield (float(value).hex() if isinstance(value, float) else str(value)).encode()


def digest(value: Any) -> str:
    """Return 32 hexadecimal digits of everything in ``value``."""
    return hashlib.blake2b(b"\0".join(pieces(value)), digest_size=16).hexdigest()


def main() -> None:
    """Print one line a number."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        areas = (products(), moments(folder), densities(folder), from_moments(), monitoring(folder))
        for area in (*areas, files_and_text(folder)):
            for name, value in area:
                is_number = isinstance(value, float)
                print(name, f"{float(value).hex()} {float(value)!r}" if is_number else digest(value), flush=True)


if __name__ == "__main__":
    main()
