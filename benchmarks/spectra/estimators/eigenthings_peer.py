"""hessian-eigenthings: `spectral_density`, and its two traces with standard errors."""

import torch

from spectra.answers import Steps, Trace
from spectra.matrix import Matrix
from spectra.registry import estimator

PACKAGE = "hessian-eigenthings"


def operator(matrix: Matrix):
    from hessian_eigenthings.operators.base import LambdaOperator

    return LambdaOperator(matrix.tensor, matrix.size, device=torch.device("cpu"), dtype=torch.float64)


@estimator("hessian-eigenthings", "peer", splits=(1, 5), package=PACKAGE)
def density(matrix: Matrix, products: int, seed: int, runs: int) -> dict[str, Steps]:
    from hessian_eigenthings.algorithms.spectral_density import spectral_density

    found = spectral_density(operator(matrix), num_runs=runs, lanczos_steps=products // runs, seed=1000 * seed)
    known = torch.isfinite(found.raw_eigenvalues)
    nodes = Steps(found.raw_eigenvalues[known].numpy(), found.raw_weights[known].numpy())
    return {"quadrature": nodes, "curve": Steps(found.grid.numpy(), found.density.numpy())}


def enter(method: str) -> None:
    """Enter one of the traces."""

    @estimator(f"hessian-eigenthings, {method}", "peer", gives="moments", package=PACKAGE)
    def estimate(matrix: Matrix, products: int, seed: int) -> Trace:
        from hessian_eigenthings.algorithms.trace import trace

        result = trace(operator(matrix), num_matvecs=products, method=method, seed=seed)
        return Trace(result.estimate / matrix.size, result.stderr / matrix.size)


enter("hutchinson")
enter("hutch++")
