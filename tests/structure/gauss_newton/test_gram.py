"""The Gram matrix itself, and what a matrix and signs give."""

import numpy as np
import torch
from gauss_newton_cases import make_cases

from hessdens.structure import output_gram
from hessdens.structure.gauss_newton.gram import spectral_of

CASES = make_cases()


def test_layers_add_up_to_the_whole():
    gram = output_gram(CASES["encoder"])
    np.testing.assert_allclose(sum(gram.layers.values()), gram.matrix, atol=1e-12)
    assert sum(gram.layer_sizes.values()) == CASES["encoder"].size


def test_spectral_of_signs():
    rng = np.random.default_rng(0)
    J, signs = rng.standard_normal((5, 9)), np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    J[4] = J[0] + J[1]  # of rank 4
    spectral = spectral_of(J @ J.T, signs)
    matrix = (J.T * signs) @ J
    vectors = J.T @ spectral.weights
    assert len(spectral.values) == 4
    np.testing.assert_allclose(matrix @ vectors, vectors * spectral.values, atol=1e-10)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(4), atol=1e-10)


def test_what_it_has_cost():
    gram = output_gram(CASES["perceptron"])
    assert repr(gram) == "OutputGram(rows=12, size=51, layers=2)"
    assert str(gram).startswith("Gram matrix of 12 rows, of a Gauss-Newton matrix of 51 in 2 layers; ")
    assert str(gram).endswith("KiB, 2 passes over the data")
    assert gram != output_gram(CASES["perceptron"])  # without comparing arrays
    assert gram.num_passes == 2
    assert gram.memory > 8 * gram.num_rows**2 * 6
    assert torch.is_tensor(gram.eigenvectors(1)[1])
