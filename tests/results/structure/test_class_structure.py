"""Class structure as numbers: levels, counts, and what cannot be."""

import numpy as np
import pytest

from hessdens.results import ClassStructure

PARTS = {
    "class_means": [[4.0, 1.0], [0.0, 1.0], [0.1, 0.0], [0.0, 0.0]],
    "cross_classes": [[0.0, 1.0], [2.0, 1.0], [0.0, 0.0], [0.0, 0.0]],
    "within_classes": [[0.0, 0.0], [0.0, 0.0], [0.9, 0.5], [0.0, 0.0]],
    "own_classes": [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]],
}
VALUES = [6.0, 4.0, 1.5, 0.0]


def made(values=VALUES, examples=(7, 3), **changes):
    return ClassStructure(100, values, **{**PARTS, **changes}, examples=examples)


def test_levels_and_counts():
    structure = made()
    assert structure.num_classes == 2
    assert structure.levels == ("class means", "cross-classes", "within classes", "class means")
    assert structure.counts == {"class means": 2, "cross-classes": 1, "within classes": 1, "own classes": 0}
    np.testing.assert_array_equal(structure.counts_by_class, [2, 0])
    np.testing.assert_allclose(structure.shares["class means"], [5 / 6, 1 / 4, 0.1 / 1.5, 0])
    np.testing.assert_allclose(sum(structure.shares.values()), [1, 1, 1, 0])


def test_text_and_numbers():
    structure = made()
    assert "class means: 2 eigenvalues of 2 at most, 53.0% of the sum of all" in structure.summary()
    assert "  6: 83.3%, 16.7%, 0.0%, 0.0%; 0" in str(structure)
    numbers = structure.numbers()
    assert numbers["counts_by_class"] == [2, 0]
    assert numbers["shares"]["cross-classes"][1] == 0.75
    many = ClassStructure(100, np.ones(20), np.ones((20, 1)), *[np.zeros((20, 1))] * 3, (4,))
    assert str(many).endswith("  and 8 more")


def test_what_it_cannot_be():
    with pytest.raises(ValueError, match=r"Parts must have shape \(4, 3\), eigenvalues and classes; got"):
        made(examples=(1, 2, 3))
    with pytest.raises(ValueError, match="must be in descending order, and at least one"):
        made(values=VALUES[::-1])
    with pytest.raises(ValueError, match="Parts must add up to the eigenvalues; they do not"):
        made(own_classes=np.ones((4, 2)))
