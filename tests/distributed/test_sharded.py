"""Models sharded by fully_shard: products by differences of gradients, and what is refused."""

import re

import pytest
from ranks import LOSS, RANKS, assert_close, batches, landscape, network

from hessdens import hessian_operator


def test_sharded_models_give_the_result_of_one_process(together, alone):
    """Products are differences of gradients; the error that is measured bounds theirs."""
    results, alone_counts = [rank["sharded"] for rank in together], alone["counts"]
    alone = {name: value for name, value in alone.items() if name in results[0]["answers"]}
    for result in results:
        assert result["answers"] == results[0]["answers"]
        assert 0 < result["product error"] < 1e-5
        assert_close(result["answers"], alone, 1e-9)
        assert result["certified"] == results[0]["certified"]
        for (fewest, most, agrees), (count, *_) in zip(result["certified"], alone_counts, strict=True):
            assert fewest <= count <= most, "edges are moved by the error of products"
            assert agrees
    assert sum(result["rows"] for result in results) == 5 * 7 + 7 + 7 * 3 + 3
    assert max(result["rows"] for result in results) <= 20
    assert [result["steps"] for result in results] == [2] * RANKS
    assert [result["weight"] for result in results] == [29.0] * RANKS


def test_losses_and_slices_are_those_of_one_process(together):
    alone = landscape(hessian_operator(network(), LOSS, batches()))
    for rank in together:
        found = rank["sharded"]["landscape"]
        assert found == together[0]["sharded"]["landscape"]
        assert_close(found, {name: alone[name] for name in found}, 1e-9)
        assert rank["sharded"]["zero"] == "ValueError: A direction must not be zero."
        assert rank["sharded"]["infinite direction"].startswith("ValueError: A direction must be finite")


def test_sharded_models_stay_as_they_were(together):
    for rank in together:
        assert rank["sharded"]["restored"]
        assert rank["sharded"]["gradients"] == [True, False, False, False]
        assert rank["sharded"]["same gradient"]


def test_checksums_of_shards_see_order(together):
    """Two layers of one shape swapped, and inputs and targets."""
    for rank in together:
        assert rank["sharded"]["order"] == [True, True]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("exact", "ValueError: exact_spectrum needs whole vectors; .* sharded over processes. Use lanczos_density."),
        ("layers", "TypeError: layer_moments needs an operator that knows its parameters"),
        ("scipy", "TypeError: SciPy takes whole vectors"),
        ("pointer", "ValueError: The parameters must be whole tensors; '0.weight' .*hessdens.distributed.shard"),
        ("sum", "ValueError: loss_fn must return the mean over the examples"),
        ("sum of one", "ValueError: loss_fn must return the mean .* add up to that of the whole, as a sum's do"),
        ("scalar", r"ValueError: The loss must be a scalar, the mean over .* of a batch; got shape \(\d,\)\."),
        ("random", r"ValueError: The loss must not be random; got [\d.]+ and then [\d.]+\."),
        ("constant", "ValueError: The loss must depend on the parameters; it depends on none of them."),
        ("detached parts", "ValueError: The gradient must be the derivative of the loss, .* Parts of the loss that"),
        ("infinite", "NonFiniteError: The loss and its gradient must be finite; the loss of batch 0 is inf."),
        ("no function", "TypeError: loss_fn must be callable; got int."),
        ("counts", "RankError: All ranks must have as many vectors in a product; they have from 1 to 2."),
        ("weights", r"ValueError: num_examples must add up to more than zero over data; got 0\."),
    ],
)  # fmt: skip
def test_sharded_models_refuse(together, case, message):
    for rank in together:
        assert re.match(message, rank["sharded"][case])


def test_a_rank_without_data_is_named(together):
    said = [rank["sharded"]["empty"] for rank in together]
    assert said[2] == "ValueError: data must hold at least one batch; got none."
    assert {said[0], said[1], said[3]} == {
        "RankError: Ranks stop together; rank 2 failed with ValueError: data must hold at least one batch; got none."
    }


def test_losses_may_know_the_model(together):
    for rank in together:
        assert rank["sharded"]["loss that knows the model"] == "no error"
