"""matfree: Lanczos quadrature from `tridiag_sym`, and its traces with standard errors."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from spectra.answers import Steps, Trace
from spectra.matrix import Matrix
from spectra.registry import estimator

PACKAGE = "matfree"
# The matrix that compiled functions multiply by: they are made once for each size and number of products.
current: list[Matrix] = []


def matvec_of(size: int) -> tuple[Callable[[Any], Any], Any]:
    """Return products as a function of jax, and a vector of their shape."""
    import jax

    jax.config.update("jax_enable_x64", True)
    like = jax.ShapeDtypeStruct((size,), np.float64)

    def on_host(V: Any) -> np.ndarray:
        return (current[0] @ np.asarray(V).reshape(-1, size).T).T.reshape(V.shape)

    def matvec(v: Any) -> Any:
        return jax.pure_callback(on_host, like, v, vmap_method="expand_dims")

    return matvec, jax.numpy.zeros(size)


@lru_cache(maxsize=64)
def compiled(name: str, size: int, count: int) -> Callable[[Any], Any]:
    """Return one of the methods as a compiled function of a random key."""
    import jax
    from matfree import decomp, stochtrace

    matvec, like = matvec_of(size)
    sphere = stochtrace.sampler_sphere(like, num=count)
    if name == "quadrature":
        tridiagonalise = decomp.tridiag_sym(count)
        probe = stochtrace.sampler_sphere(like, num=1)
        return jax.jit(lambda key: tridiagonalise(matvec, probe(key)[0])[1])
    single, shared = stochtrace.estimator_monte_carlo_mean_and_sem, stochtrace.estimator_leave_one_out_mean_and_sem
    if name == "Hutchinson":
        method = single(stochtrace.monte_carlo_trace(), sampler=stochtrace.sampler_signs(like, num=count))
    elif name == "XTrace":
        method = shared(stochtrace.leave_one_out_xtrace(), sampler=sphere)
    else:
        method = shared(stochtrace.leave_one_out_xnystrace(), sampler=sphere)
    return jax.jit(lambda key: method(matvec, key))


def call(name: str, matrix: Matrix, count: int, seed: int) -> Any:
    import jax

    current[:] = [matrix]
    return compiled(name, matrix.size, count)(jax.random.key(seed))


@estimator("matfree", "peer", splits=(1, 5), gaussian=True, package=PACKAGE)
def density(matrix: Matrix, products: int, seed: int, runs: int) -> Steps:
    found = [np.linalg.eigh(call("quadrature", matrix, products // runs, 100 * seed + run)) for run in range(runs)]
    return Steps(*(np.concatenate(part) for part in zip(*((v, vectors[0] ** 2) for v, vectors in found), strict=True)))


def enter(name: str, products_a_sample: int = 1) -> None:
    """Enter one of the traces."""

    @estimator(f"matfree, {name}", "peer", gives="moments", gaussian=name != "Hutchinson", package=PACKAGE)
    def trace(matrix: Matrix, products: int, seed: int) -> Trace:
        if name == "XNysTrace" and matrix.support[0] < 0:
            raise ValueError("XNysTrace needs a positive semidefinite matrix.")
        mean, error = call(name, matrix, products // products_a_sample, seed)
        return Trace(float(mean) / matrix.size, float(error) / matrix.size)


enter("Hutchinson")
enter("XTrace", 2)
enter("XNysTrace")
