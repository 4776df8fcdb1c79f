"""Gram spectra against exact ones of the same operators, and what is refused."""

import re

import numpy as np
import pytest
import torch
from gauss_newton_cases import INPUTS, LABELS, PAIRS, make_cases, perceptron
from torch import nn

from hessdens import as_operator, exact_spectrum, ggn_operator, hessian_operator
from hessdens.linalg.team import Team
from hessdens.structure import output_gram

CASES = make_cases()


@pytest.mark.parametrize("memory_limit", [None, "short"])
@pytest.mark.parametrize("name", CASES)
def test_all_eigenvalues(name, memory_limit):
    G = CASES[name]
    gram = output_gram(G)
    if memory_limit == "short":
        rows = gram.num_rows
        gram = output_gram(G, memory_limit=int(8 * rows**2 * (4 + len(gram.layers)) + 16 * rows * 50))
        assert gram.num_passes > 2 or G.size < 60
    exact = exact_spectrum(G).eigenvalues
    found = gram.spectrum()
    every = np.sort(np.append(found.eigenvalues, np.full(G.size - len(found.eigenvalues), found.rest)))
    np.testing.assert_allclose(every, exact, rtol=1e-10, atol=1e-10 * np.abs(exact).max())


@pytest.mark.parametrize("name", ["perceptron", "not convex", "convolution", "tied", "own parameters", "encoder"])
def test_eigenvalues_of_each_layer(name):
    G = CASES[name]
    spectra = output_gram(G).layer_spectra()
    dense = G @ torch.eye(G.size, dtype=torch.float64)
    start, places = 0, {}
    for parameter, size in G.parameter_sizes.items():
        places.setdefault(parameter.rpartition(".")[0], []).extend(range(start, start + size))
        start += size
    assert list(spectra) == list(places)
    for layer, found in spectra.items():
        exact = np.linalg.eigvalsh(dense[places[layer]][:, places[layer]].numpy())
        every = np.sort(np.append(found.eigenvalues, np.zeros(found.size - len(found.eigenvalues))))
        np.testing.assert_allclose(every, exact, atol=1e-10 * np.abs(exact).max())


@pytest.mark.parametrize("name", CASES)
def test_eigenvectors(name):
    G = CASES[name]
    values, vectors = output_gram(G).eigenvectors(2)
    torch.testing.assert_close(G @ vectors, vectors * torch.from_numpy(values), rtol=0, atol=1e-10)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-10)
    exact = exact_spectrum(G).eigenvalues
    decay = G.problem.weight_decay
    np.testing.assert_allclose(np.abs(values - decay), np.sort(np.abs(exact - decay))[::-1][:2], rtol=1e-9)


def test_float32_and_layers_of_ones_choice():
    G = ggn_operator(perceptron().float(), nn.CrossEntropyLoss(), [(INPUTS.float(), LABELS)])
    gram = output_gram(G, {"weights": "*.weight"})
    np.testing.assert_allclose(gram.spectrum().eigenvalues[-3:], exact_spectrum(G).eigenvalues[-3:], rtol=1e-4)
    assert gram.layer_spectra()["weights"].size == 42


def test_the_model_stays_as_it_is():
    model = perceptron()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    output_gram(ggn_operator(model, nn.CrossEntropyLoss(), PAIRS)).eigenvectors(1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_progress(capsys):
    output_gram(CASES["perceptron"], progress=True)
    assert "6/6" in capsys.readouterr().err


def test_what_is_refused():
    G = CASES["perceptron"]

    class Processes(Team):
        """A team that is not this process alone."""

    shared = 2 * G
    shared.team = Processes()
    for other, kind, cure in (
        (as_operator(np.eye(3)), "a matrix or a function", ""),
        (hessian_operator(perceptron(), nn.CrossEntropyLoss(), PAIRS), "the Hessian", ""),
        (2 * G, "a sum or a multiple of operators", ""),
        (shared, "an operator that processes share", ", with all data on one process"),
        (np.eye(3), "ndarray", ""),
    ):
        message = f"makes it; got {kind}. Write output_gram(ggn_operator(model, loss_fn, data)){cure}."
        with pytest.raises(TypeError, match=re.escape(message)):
            output_gram(other)
    with pytest.raises(
        ValueError, match=r"max_rows=5 rows at most; these data have about 12. Its matrix takes 1.12 KiB"
    ):
        output_gram(G, max_rows=5)
    with pytest.raises(ValueError, match="max_rows must be at least 1; got 0"):
        output_gram(G, max_rows=0)
    with pytest.raises(MemoryError, match=r"Gram matrix of 12 rows needs about .* KiB; 1e.03 bytes may be used"):
        output_gram(G, memory_limit=1000)
    with pytest.raises(ValueError, match=r"layers\['first'\] must have whole tensors; got a slice of '0.weight'"):
        output_gram(G, {"first": {"0.weight": np.s_[0:2]}})
    with pytest.raises(ValueError, match="count must be at most the rank, 12; got 13"):
        output_gram(G).eigenvectors(13)
    with pytest.raises(ValueError, match="count must be at least 1; got 0"):
        output_gram(G).eigenvectors(0)
    with pytest.raises(TypeError, match=r"count must be a whole number; got 2\.0"):
        output_gram(G).eigenvectors(2.0)
