"""Which parameters each pass makes rows of."""

import pytest
from gauss_newton_cases import make_cases

from hessdens.structure.gauss_newton.outputs import blocks_of, root_of
from hessdens.structure.gauss_newton.passes import factor_sizes, first_uses, planned_shares

CASES = make_cases()


def planned(name, room, direct=frozenset()):
    G = CASES[name]
    loss, values = G.problem.loss, dict(G.problem.loss.named(G.parameter_names))
    roots = tuple(root_of(loss, block, values, weight) for block, weight in blocks_of(G))
    return planned_shares(G, roots, direct, room, 100.0)


def test_factor_sizes():
    sizes = factor_sizes(first_uses(CASES["perceptron"], frozenset(["0.weight", "0.bias", "2.weight"])))
    assert sizes == {"0.weight": (6, 4), "0.bias": (6, 0), "2.weight": (3, 6)}
    assert factor_sizes(first_uses(CASES["tied"], frozenset(["layer.weight"]))) == {"layer.weight": (32, 32)}


def test_one_pass_where_there_is_room():
    (share,), largest = planned("convolution", 1e9)
    assert share.factored == {"3.weight", "3.bias"}
    assert share.columns == {"0.weight": slice(0, 18), "0.bias": slice(0, 2)}
    rows = 10
    assert largest == 16 * (rows * 20 + (rows * 3 + 5 * 8) + rows * 3)


@pytest.mark.parametrize("room", [2000, 3000, 1300])
def test_each_column_is_made_once_within_the_room(room):
    shares, largest = planned("convolution", room, direct=frozenset(["3.weight"]))
    assert largest <= room
    assert len(shares) > 1
    for name, size in CASES["convolution"].parameter_sizes.items():
        pieces = [share.columns[name] for share in shares if name in share.columns]
        if pieces:
            assert [place for piece in pieces for place in range(piece.start, piece.stop)] == list(range(size))
        assert bool(pieces) != any(name in share.factored for share in shares)


def test_less_than_the_least_is_refused():
    with pytest.raises(
        MemoryError, match=r"The Gram matrix of 10 rows needs about .* may be used. Take fewer examples"
    ):
        planned("convolution", 100)
