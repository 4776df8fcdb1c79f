"""A user's program, which mypy checks as it is with all its rules: see test_typing.py.

Wrong calls have ``type: ignore`` with the error that mypy must find; mypy complains of one that is not needed.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import hessdens


def problem() -> tuple[nn.Module, nn.Module, list[tuple[Tensor, Tensor]]]:
    model = nn.Linear(3, 2)
    return model, nn.CrossEntropyLoss(), [(torch.ones(4, 3), torch.zeros(4, dtype=torch.long))]


def density(
    model: nn.Module, loss_fn: nn.Module, data: Sequence[tuple[Tensor, Tensor]]
) -> hessdens.densities.LanczosDensity:
    H: hessdens.curvature.CurvatureOperator = hessdens.hessian_operator(model, loss_fn, data, parameters="*.weight")
    product: Tensor = H @ torch.ones(H.size)
    G: hessdens.linalg.Operator = hessdens.as_operator(np.eye(3)) + 2.0 * hessdens.as_operator(torch.eye(3))
    hessdens.ggn_operator(model, loss_fn, data, plan=hessdens.Plan("feedforward"))
    hessdens.fisher_operator(model, loss_fn, data, kind="empirical")
    hessdens.hessian_operator(model, loss_fn, data, forward=lambda model, batch: (model(batch[0]), batch[1]))
    print(product.shape, G.size)
    return hessdens.lanczos_density(H, max_products=50, seed=1, checkpoint="work")


def moments(H: hessdens.linalg.Operator) -> NDArray[np.float64]:
    found: hessdens.results.Moments = hessdens.spectral_moments(H, 4, method="skilling", rtol=0.1)
    layers: dict[str, hessdens.results.Moments] = {}
    if isinstance(H, hessdens.curvature.CurvatureOperator):
        layers = hessdens.structure.layer_moments(H)
    fit: hessdens.mixture.MixtureFit = hessdens.fit_mixture(found, grid=hessdens.mixture.Grid.paper())
    fits: tuple[hessdens.mixture.MixtureFit, ...] = hessdens.mixture.fit_mixtures([found, found])
    uncertain: hessdens.mixture.FitUncertainty = hessdens.mixture.fit_uncertainty(found)
    exact: hessdens.Spectrum = hessdens.exact_spectrum(H)
    hessdens.plot_density(fit.mixture, exact=exact).set_title(str(hessdens.compare(uncertain.mixture, exact)))
    print(hessdens.compare(found, exact).numbers(0.1), uncertain.numbers(level=0.9), found.numbers())
    hessdens.compare(fit, exact)  # type: ignore[arg-type]
    hessdens.plot_density(uncertain)  # type: ignore[arg-type]
    print(layers, fit.mixture.fraction_degenerate(0.1), fits, uncertain.share_poor)
    return found.interval()


def densities() -> None:
    exact: hessdens.Spectrum = hessdens.exact_spectrum(np.eye(3))
    known: list[hessdens.densities.Density] = [exact, hessdens.mixture.SkewNormalMixture(1e-3, 1.0, 1.0, 0.0)]
    hessdens.estimators.chebyshev_moments(np.eye(3), support=(0, 2))
    chebyshev: hessdens.results.ChebyshevMoments = hessdens.estimators.chebyshev_moments(np.eye(3), 8)
    known += [hessdens.densities.kernel_polynomial(chebyshev), hessdens.densities.maximum_entropy(chebyshev)]
    known.append(density(*problem()))
    for each in known:
        comparison: hessdens.densities.Comparison = hessdens.compare(each, exact)
        hessdens.plot_density(each, exact=exact).set_title(str(comparison))
    loaded = hessdens.load_result("r.npz")
    if isinstance(loaded, hessdens.results.Moments):
        print(loaded.values.mean())


def mistakes(H: hessdens.linalg.Operator) -> None:
    hessdens.lanczos_density(H, 50)  # type: ignore[call-arg]
    hessdens.lanczos_density(H, max_products="50")  # type: ignore[arg-type]
    hessdens.spectral_moments(H, method="hutchinson")  # type: ignore[arg-type]
    hessdens.hessian_operator(nn.Linear(1, 1), nn.MSELoss(), [], forwards=None)  # type: ignore[call-arg]
    print(hessdens.Spectrum(np.ones(3)).eigenvalue)  # type: ignore[attr-defined]
    text: str = hessdens.exact_spectrum(H).fraction_degenerate()  # type: ignore[assignment]
    print(text)
