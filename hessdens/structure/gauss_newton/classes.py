"""Eigenvalues of a Gauss-Newton matrix in three levels: means of classes, of pairs of classes, and the rest."""

from collections.abc import Iterator

import numpy as np
import torch

from hessdens._checks import whole_at_least
from hessdens._types import FloatArray
from hessdens.curvature.containers import flattened
from hessdens.curvature.settings import TURN, product_settings
from hessdens.linalg.adapt import kind_of
from hessdens.results.structure.class_structure import ClassStructure
from hessdens.structure.gauss_newton.gram import OutputGram, spectral_of
from hessdens.structure.gauss_newton.outputs import Root, blocks_of

# The Hessian of cross-entropy may be off by this share of its trace, by rounding in float32.
OFF = 1e-4


def class_structure(gram: OutputGram, *, count: int | None = None) -> ClassStructure:
    """Say which of the largest eigenvalues of a Gauss-Newton matrix are made by means over classes.

    For cross-entropy the matrix is the mean of p_c' g_c' g_c'^T over examples, where g_c' = J^T (e_c' - p) is the
    gradient that an example would have if its label were c', and p_c' its probability. Examples of class c and c' make
    a group. By the law of total variance the matrix is a sum of four, all positive:

    - class means: of the mean over all groups c' ≠ c of a class c, C directions;
    - cross-classes: of the means of these groups, less that of their class, C (C - 2) directions;
    - within classes: of examples, less the mean of their group;
    - own classes: of the means of the groups c' = c, small once examples are learnt.

    Parameters
    ----------
    gram
        From `output_gram`, of a network whose loss is cross-entropy of logits, with one label per example.
    count
        Eigenvalues from the largest down. Default: C², or all of them.

    Returns
    -------
    ClassStructure
        For each eigenvalue λ with eigenvector v the four parts of λ = v·Gv, class by class, exact to rounding.

    Raises
    ------
    TypeError
        If ``gram`` is not from `output_gram`.
    ValueError
        If the loss is another, or labels are no class numbers, one per example.

    Notes
    -----
    Cost: a forward pass over the data, and the eigenvectors of the Gram matrix; memory: 3 C² ``count`` numbers. The
    term of ``weight_decay=`` is left out. Of equal eigenvalues the parts depend on the choice of their vectors, the
    sums do not. Source: V. Papyan, Traces of class/cross-class structure pervade deep learning spectra (2020).

    Examples
    --------
    >>> import torch
    >>> from hessdens import ggn_operator
    >>> from hessdens.structure import class_structure, output_gram
    >>> data = [(torch.eye(4).double(), torch.tensor([0, 1, 2, 0]))]
    >>> gram = output_gram(ggn_operator(torch.nn.Linear(4, 3).double(), torch.nn.CrossEntropyLoss(), data))
    >>> structure = class_structure(gram, count=5)
    >>> structure.examples, len(structure.levels)
    ((2, 1, 1), 5)
    """
    if not isinstance(gram, OutputGram):
        raise TypeError(f"gram must be from output_gram; got {kind_of(gram)}. Write class_structure(output_gram(G)).")
    found = spectral_of(gram.matrix, gram.signs)
    labels, probabilities, weights = (np.array(part) for part in zip(*_examples(gram), strict=True))
    num_classes = probabilities.shape[1]
    count = num_classes**2 if count is None else count
    whole_at_least("count", count, 1)
    order = np.argsort(-found.values)[:count]
    along = gram.matrix @ found.weights[:, order]  # of each row of F^T J, with each eigenvector
    sums = np.zeros((num_classes, num_classes, len(order)))
    squares, totals = np.zeros((num_classes, len(order))), np.zeros((num_classes, num_classes))
    start = 0
    for label, p, weight, root in zip(labels, probabilities, weights, gram.roots, strict=True):
        parts = _rows_of_classes(root, p, weight) @ along[start : start + root.rank]
        start += root.rank
        sums[label] += np.sqrt(weight * p)[:, None] * parts
        squares[label] += np.sum(parts**2, axis=0)
        totals[label] += weight * p
    class_means, cross, own = _between(sums, totals)
    within = np.maximum(squares - class_means - cross - own, 0.0)
    examples = tuple(np.bincount(labels, minlength=num_classes).tolist())
    values = np.sort(found.values)[::-1][:count]
    return ClassStructure(gram.operator.size, values, class_means.T, cross.T, within.T, own.T, examples)


def _between(sums: FloatArray, totals: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the parts of class means, of pairs of classes and of own classes, each of shape (C, K).

    ``sums`` has the weighted sums over the examples of each group, shape (C, C, K), and ``totals`` their weights.
    """
    groups = _squared_over(sums, totals[:, :, None])
    own = np.diagonal(groups).T
    others = ~np.eye(len(totals), dtype=bool)
    whole = _squared_over(np.sum(sums * others[:, :, None], axis=1), np.sum(totals * others, axis=1)[:, None])
    cross = np.maximum(np.sum(groups * others[:, :, None], axis=1) - whole, 0.0)
    return whole, cross, own


def _squared_over(sums: FloatArray, weights: FloatArray) -> FloatArray:
    result: FloatArray = np.divide(sums**2, weights, out=np.zeros_like(sums), where=weights > 0)
    return result


def _rows_of_classes(root: Root, p: FloatArray, weight: float) -> FloatArray:
    """Return A, shape (C, r), with A F^T the rows sqrt(w p_c') (e_c' - p); ValueError if these do not make w B."""
    rows = np.sqrt(weight * p)[:, None] * (np.eye(len(p)) - p)
    matrix = (root.columns.T * root.signs) @ root.columns
    expected = rows.T @ rows
    if not np.abs(matrix - expected).max() <= OFF * max(np.trace(expected), weight * np.finfo(np.float32).eps):
        raise ValueError(
            "The loss must be cross-entropy of logits, whose Hessian is diag(p) - p p^T; that of an example is another."
        )
    lengths = np.sum(root.columns**2, axis=1)
    result: FloatArray = rows @ (root.columns / lengths[:, None]).T
    return result


def _examples(gram: OutputGram) -> Iterator[tuple[int, FloatArray, float]]:
    """Yield label, probabilities and weight of each example; weights sum to 1."""
    operator = gram.operator
    with TURN, operator.problem.undisturbed(), product_settings(tf32=False), torch.no_grad():
        loss = operator.problem.loss
        values = dict(loss.named(operator.parameter_names))
        found = [(*loss.outputs(block, values), weight) for block, weight in blocks_of(operator)]
    total = sum(weight for *_, weight in found)
    for outputs, targets, weight in found:
        parts, (label, *others) = flattened(outputs)[0], flattened(targets)[0]
        is_number = not others and label.numel() == 1 and not label.is_floating_point()
        if len(parts) != 1 or parts[0].ndim != 2 or len(parts[0]) != 1 or not is_number:
            raise ValueError(
                "Examples must have one label, the number of a class, and one vector of logits; got outputs of shape "
                f"{[tuple(part.shape) for part in parts]} and targets of shape {tuple(label.shape)}, {label.dtype}. "
                "Batches must not be kept whole (split_batches=False)."
            )
        p = torch.softmax(parts[0][0].double(), dim=0).cpu().numpy()
        yield int(label), p, weight / total
