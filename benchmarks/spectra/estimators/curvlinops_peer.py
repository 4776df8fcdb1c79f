"""curvlinops: `lanczos_approximate_spectrum`, told the exact ends of the spectrum, and its three traces."""

from typing import Any

import torch
from torch import Tensor

from spectra.answers import Steps, Trace
from spectra.matrix import Matrix
from spectra.registry import estimator

PACKAGE = "curvlinops-for-pytorch"


class LinearOperator:
    """What curvlinops asks of a matrix."""

    device, dtype = torch.device("cpu"), torch.float64

    def __init__(self, matrix: Matrix) -> None:
        self.matrix, self.shape = matrix, (matrix.size, matrix.size)

    def to_scipy(self) -> None:
        """Exist: it is called even where both ends are given."""

    def __matmul__(self, V: Tensor) -> Tensor:
        return self.matrix.tensor(V)


@estimator("curvlinops", "peer", splits=(1, 5), gaussian=True, package=PACKAGE)
def density(matrix: Matrix, products: int, seed: int, runs: int) -> dict[str, Any]:
    from curvlinops.papyan2020traces import spectrum

    original, calls = spectrum.fast_lanczos, []

    def recorded(*arguments: Any, **options: Any) -> Any:
        calls.append(original(*arguments, **options))
        return calls[-1]

    torch.manual_seed(seed)
    spectrum.fast_lanczos = recorded
    try:
        grid, curve = spectrum.lanczos_approximate_spectrum(
            LinearOperator(matrix), products // runs, num_repeats=runs, boundaries=matrix.support, num_points=4096
        )
    finally:
        spectrum.fast_lanczos = original
    points, weights = (torch.cat(part) for part in zip(*((v, vectors[0] ** 2) for v, vectors in calls), strict=True))
    return {"quadrature": Steps(points.numpy(), weights.numpy()), "curve": Steps(grid.numpy(), curve.numpy())}


def enter(name: str, function: str, divisor: int) -> None:
    """Enter one of the traces, which wants products in twos or threes."""

    @estimator(f"curvlinops, {name}", "peer", gives="moments", package=PACKAGE)
    def trace(matrix: Matrix, products: int, seed: int) -> Trace:
        import curvlinops

        torch.manual_seed(seed)
        total = getattr(curvlinops, function)(LinearOperator(matrix), products // divisor * divisor)
        return Trace(float(total) / matrix.size)


enter("Hutchinson", "hutchinson_trace", 1)
enter("Hutch++", "hutchpp_trace", 3)
enter("XTrace", "xtrace", 2)
