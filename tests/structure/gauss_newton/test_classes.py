"""Parts of eigenvalues that means over classes make, against matrices that are built from gradients."""

import numpy as np
import pytest
import torch
from gauss_newton_cases import INPUTS, LABELS, PAIRS, TARGETS, Tied, perceptron, weighted
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import ggn_operator
from hessdens.structure import class_structure, output_gram

LEVELS = ("class_means", "cross_classes", "within_classes", "own_classes")


def levels_of(model, inputs, labels, num_classes):
    """Return the four matrices of each class, by gradients one after the other, and the whole matrix."""
    parameters, n = list(model.parameters()), len(inputs)
    groups = {(c, k): [] for c in range(num_classes) for k in range(num_classes)}
    for x, label in zip(inputs, labels, strict=True):
        logits = model(x[None])[0]
        p = logits.softmax(dim=0).detach()
        for k in range(num_classes):
            gradient = torch.autograd.grad((logits * (torch.eye(num_classes).double()[k] - p)).sum(), parameters,
                                           retain_graph=True)  # fmt: skip
            groups[int(label), k].append((float(p[k]) / n, torch.cat([g.flatten() for g in gradient]).numpy()))
    size = sum(parameter.numel() for parameter in parameters)
    matrices = {name: np.zeros((num_classes, size, size)) for name in LEVELS}
    for c in range(num_classes):
        means = {}
        for k in range(num_classes):
            if not groups[c, k]:
                continue
            weights, vectors = (np.array(part) for part in zip(*groups[c, k], strict=True))
            mean = weights @ vectors / weights.sum()
            centred = vectors - mean
            matrices["within_classes"][c] += (centred.T * weights) @ centred
            if k == c:
                matrices["own_classes"][c] += weights.sum() * np.outer(mean, mean)
            else:
                means[k] = weights.sum(), mean
        if means:
            weights, vectors = (np.array(part) for part in zip(*means.values(), strict=True))
            mean = weights @ vectors / weights.sum()
            matrices["class_means"][c] = weights.sum() * np.outer(mean, mean)
            centred = vectors - mean
            matrices["cross_classes"][c] = (centred.T * weights) @ centred
    return matrices


def test_parts_are_those_of_matrices_of_gradients():
    model = perceptron()
    G = ggn_operator(model, nn.CrossEntropyLoss(), PAIRS)
    gram = output_gram(G)
    structure = class_structure(gram)
    matrices = levels_of(model, INPUTS, LABELS, 3)
    whole = sum(matrix.sum(axis=0) for matrix in matrices.values())
    np.testing.assert_allclose(whole, (G @ torch.eye(G.size).double()).numpy(), atol=1e-12)
    values, vectors = gram.eigenvectors(9)
    np.testing.assert_allclose(structure.eigenvalues, values)
    for name in LEVELS:
        parts = np.einsum("ik,cij,jk->kc", vectors.numpy(), matrices[name], vectors.numpy())
        np.testing.assert_allclose(getattr(structure, name), parts, atol=1e-12)
    assert structure.examples == (2, 3, 1)
    assert structure.size == G.size


def test_equal_examples_have_no_part_within_classes():
    inputs = torch.eye(4).double()[[0, 0, 1, 2, 2, 2]]
    labels = torch.tensor([0, 0, 1, 2, 2, 2])
    G = ggn_operator(nn.Linear(4, 3).double(), F.cross_entropy, [(inputs, labels)], weight_decay=0.5)
    structure = class_structure(output_gram(G))
    np.testing.assert_allclose(structure.within_classes, 0, atol=1e-15)
    assert structure.counts["within classes"] == 0
    assert len(structure.eigenvalues) == 6, "rank C (C - 1)"


def test_learnt_classes_are_one_outlier_each():
    """Examples of a class are alike, and almost sure of their label: C (C - 1) directions of two levels stand out."""
    torch.manual_seed(0)
    labels = torch.arange(4).repeat(25)
    inputs = torch.eye(6).double()[labels] + 0.01 * torch.randn(100, 6).double()
    model = nn.Linear(6, 4, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(4 * torch.eye(4, 6))
    structure = class_structure(output_gram(ggn_operator(model, nn.CrossEntropyLoss(), [(inputs, labels)])))
    assert structure.levels == ("class means",) * 4 + ("cross-classes",) * 8 + ("within classes",) * 4
    assert structure.counts == {"class means": 4, "cross-classes": 8, "within classes": 4, "own classes": 0}
    np.testing.assert_array_equal(structure.counts_by_class, np.bincount(np.argmax(structure.class_means[:4], axis=1)))


def test_a_class_without_examples_has_no_part():
    structure = class_structure(output_gram(ggn_operator(perceptron(), F.cross_entropy, [(INPUTS, LABELS % 2)])))
    assert structure.examples == (3, 3, 0)
    for name in LEVELS:
        assert not getattr(structure, name)[:, 2].any()


def test_float32():
    model = perceptron().float()
    data = [(INPUTS.float(), LABELS)]
    single = class_structure(output_gram(ggn_operator(model, F.cross_entropy, data)), count=4)
    double = class_structure(output_gram(ggn_operator(model.double(), F.cross_entropy, [(INPUTS, LABELS)])), count=4)
    np.testing.assert_allclose(single.class_means, double.class_means, atol=1e-4 * double.eigenvalues[0])


def test_bad_input():
    with pytest.raises(
        TypeError, match=r"gram must be from output_gram; got int. Write class_structure\(output_gram\(G\)\)"
    ):
        class_structure(3)
    squares = output_gram(ggn_operator(perceptron(), nn.MSELoss(), [(INPUTS, TARGETS)]))
    with pytest.raises(ValueError, match=r"one label, the number of a class, .* targets of shape \(1, 3\), torch.f"):
        class_structure(squares)
    whole = {"split_batches": False, "num_examples": lambda batch: 1.0}
    with pytest.raises(ValueError, match=r"one label, .* outputs of shape \[\(6, 3\)\]"):
        class_structure(output_gram(ggn_operator(perceptron(), weighted, [(INPUTS, LABELS)], **whole)))
    tokens = torch.tensor([[0, 1, 2, 3]])
    with pytest.raises(ValueError, match=r"outputs of shape \[\(1, 5, 4\)\]"):
        class_structure(output_gram(ggn_operator(Tied().double(), F.cross_entropy, [(tokens, tokens)])))
    gram = output_gram(ggn_operator(perceptron(), lambda z, y: 2 * F.cross_entropy(z, y), PAIRS))
    with pytest.raises(ValueError, match=r"cross-entropy of logits, whose Hessian is diag\(p\) - p p\^T"):
        class_structure(gram)
    with pytest.raises(ValueError, match="count must be at least 1; got 0"):
        class_structure(output_gram(ggn_operator(perceptron(), F.cross_entropy, PAIRS)), count=0)
