"""Parts of a vector: their entries, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hessdens import as_operator, hessian_operator
from hessdens.structure.parts import Parts, Piece, check_parameters

MODEL = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
DATA = [(torch.ones(3, 4, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64))]
H = hessian_operator(MODEL, nn.MSELoss(), DATA)
MATRIX = as_operator(np.eye(10))
TWICE = r"parts\['a'\] must have each entry once; it has some in '0.bias' twice"


def entries(parts, index):
    """Return the places in a vector of a part."""
    return [int(i) for piece in parts.pieces[index] for i in piece.of(torch.arange(H.size)[:, None]).flatten()]


def test_modules_are_the_usual_parts():
    parts = Parts.of(H, None)
    assert (parts.names, parts.sizes) == (("0", "2"), (30, 14))
    assert entries(parts, 1) == list(range(30, 44))


def test_slices_of_tensors():
    parts = Parts.of(
        H,
        {
            "rows": {"0.weight": [np.s_[0:2], np.s_[4]], "0.bias": slice(0, 2)},
            "column": {"2.weight": np.s_[:, 5]},
            "rest": {"2.bias": None},
        },
    )
    assert entries(parts, 0) == [*range(8), *range(16, 20), 24, 25]
    assert entries(parts, 1) == [35, 41]
    assert entries(parts, 2) == [42, 43]
    assert parts.sizes == (14, 2, 2)


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_sums_squares_and_masks_are_those_of_entries(most_rows, seed):
    parts = Parts.of(H, {"a": {"0.weight": np.s_[1:5, 1:3]}, "b": "2.*", "c": {"0.weight": np.s_[:, 3]}})
    V = torch.randn(H.size, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    masked = parts.restricted(V, [2, 0, 1])
    for index, column in ((2, 0), (0, 1), (1, 2)):
        mine = entries(parts, index)
        expected = torch.zeros(H.size, dtype=torch.float64)
        expected[mine] = V[mine, column]
        torch.testing.assert_close(masked[:, column], expected)
        torch.testing.assert_close(parts.squares(V)[index], V[mine].square().sum(dim=0))
        torch.testing.assert_close(parts.sums(V)[index], V[mine].sum(dim=0))
        torch.testing.assert_close(parts.sums_by_rows(lambda rows: V[rows], most_rows, 3)[index], V[mine].sum(dim=0))


def test_parts_of_a_matrix_are_slices():
    parts = Parts.of(MATRIX, {"first": slice(0, 4), "last": slice(6, None)})
    assert parts.sizes == (4, 4)


def test_pieces_meet_where_all_ranges_do():
    piece = Piece("w", 0, (4, 4), ((0, 2), (0, 4)))
    assert piece.meets(Piece("w", 0, (4, 4), ((1, 3), (3, 4))))
    assert not piece.meets(Piece("w", 0, (4, 4), ((2, 4), (0, 4))))
    assert not piece.meets(Piece("v", 16, (4, 4), ((0, 2), (0, 4))))


@pytest.mark.parametrize(
    ("operator", "parts", "error", "message"),
    [
        (H, {"a": "0.weigt"}, ValueError, r"'0.weigt' matches none. Near: \['0.weight'"),
        (H, {"a": {"1.weight": None}}, ValueError, "'1.weight' matches none. Near: "),
        (H, {"a": "0.*", "b": "*.bias"}, ValueError, "parts must not overlap; 'a' and 'b' do in '0.bias'"),
        (H, {"a": {"0.weight": np.s_[0:2]}, "b": {"0.weight": np.s_[1:3, 2:]}}, ValueError, "'a' and 'b' do in '0.wei"),
        (H, {"a": {"0.bias": [np.s_[0:2], np.s_[1:3]]}}, ValueError, TWICE),
        (H, {1: "0.weight", "1": "2.weight"}, ValueError, r"different names as text; got \[1, '1'\]"),
        (H, {"a": {"0.weight": slice(0, 2.5)}}, TypeError, r"whole numbers without steps, .*; got slice\(0, 2.5"),
        (H, {"a": {"0.weight": slice("a", None)}}, TypeError, "whole numbers without steps, .*; got slice"),
        (H, {"a": {"0.weight": 1.0}}, TypeError, "whole numbers without steps, .*; got 1.0"),
        (
            H,
            {"a": lambda name, size: False},
            ValueError,
            r"parts\['a'\] must name parameters of the operator; it names",
        ),
        (H, {"a": {}}, ValueError, r"parts\['a'\] must name parameters of the operator; it names none"),
        (H, {}, ValueError, "parts must have at least one part; got none"),
        (H, ["0.*"], TypeError, "parts must be a dictionary .*; got list"),
        (H, {"a": slice(0, 3)}, TypeError, r"parts\['a'\] must name parameters, since the operator knows them"),
        (H, {"a": {"0.weight": np.s_[:, 0:9]}}, ValueError, "must lie within an axis of length 4; got 0:9"),
        (H, {"a": {"0.weight": np.s_[3:3]}}, ValueError, "must lie within an axis of length 6; got 3:3"),
        (H, {"a": {"0.weight": np.s_[-2:]}}, ValueError, "must lie within an axis of length 6; got -2:6"),
        (H, {"a": {"0.weight": np.s_[:, :, 0]}}, ValueError, r"must have at most 2 ranges, for shape \(6, 4\); got 3"),
        (H, {"a": {"0.weight": np.s_[::2]}}, TypeError, "without steps, .*; got slice"),
        (H, {"a": {"0.weight": "all"}}, TypeError, "without steps, .*; got 'all'"),
        (
            MATRIX,
            None,
            TypeError,
            "parts=None needs an operator that knows its parameters.*; got a matrix or a function",
        ),
        (MATRIX, {"a": "0.*"}, TypeError, r"parts\['a'\] needs an operator that knows its parameters"),
        (MATRIX, {"a": slice(0, 11)}, ValueError, r"parts\['a'\] must lie within an axis of length 10; got 0:11"),
        (MATRIX, {"a": slice(0, 6), "b": slice(5, 9)}, ValueError, "parts must not overlap; 'a' and 'b' do. Take"),
    ],
)
def test_what_is_no_part_is_refused(operator, parts, error, message):
    with pytest.raises(error, match=message):
        Parts.of(operator, parts)


def test_parts_may_overlap_where_that_is_meant():
    parts = Parts.of(H, {"all": None, "biases": "*.bias"}, may_overlap=True)
    assert parts.sizes == (44, 8)
    with pytest.raises(ValueError, match=TWICE):  # a part of its own entries: these would count twice
        Parts.of(H, {"a": {"0.bias": [np.s_[0:2], np.s_[1:3]]}}, may_overlap=True)


def test_slices_of_all_that_a_glob_matches():
    parts = Parts.of(H, {"first unit": {"0.*": np.s_[np.int64(0)], "2.weight": np.s_[:, 0:1]}})
    assert entries(parts, 0) == [0, 1, 2, 3, 24, 30, 36]


def test_parameters_are_needed():
    check_parameters(H, "x")
    with pytest.raises(TypeError, match="x needs an operator that knows its parameters"):
        check_parameters(MATRIX, "x")
