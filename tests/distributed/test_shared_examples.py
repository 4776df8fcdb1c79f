"""Processes with parts of the data give the results of one with all."""

import re

import numpy as np
import pytest
import torch
from ranks import F64, LOSS, answers_of_shift, assert_close, batches, landscape, network

from hessdens import hessian_operator


@pytest.mark.parametrize("way", ["examples", "examples of half"])
def test_every_estimator_gives_the_result_of_one_process(together, alone, way):
    results = [rank["results"][way] for rank in together]
    assert all(result == results[0] for result in results)
    assert_close(results[0], alone, 1e-12)


@pytest.mark.parametrize("way", ["examples", "probes", "both"])
def test_losses_and_slices_are_those_of_one_process(together, way):
    """Also over some examples, which one process may not have, and where the loss is not finite."""
    found = [rank["results"]["landscapes"][way] for rank in together]
    assert all(each == found[0] for each in found)
    alone = landscape(hessian_operator(network(), LOSS, batches()))
    assert alone["not finite"] == [False, False, True]
    assert_close(found[0], alone, 1e-12)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no loss", "TypeError: A loss needs an operator of a model, .*; got a matrix or a function"),
        ("no slice", "TypeError: A loss needs an operator of a model, .*; got a matrix or a function"),
        ("no examples", "ValueError: The mean must be over at least one example; none was chosen"),
        ("choice", "(RankError: Ranks stop together; rank 1 failed with )?ValueError: Examples are chosen by one"),
    ],
)  # fmt: skip
def test_what_has_no_loss_is_refused(together, case, message):
    for rank in together:
        assert re.match(message, rank["errors"][case])


def test_sums_of_shared_operators(together):
    alone = answers_of_shift(hessian_operator(network(), LOSS, batches()))
    np.testing.assert_allclose(together[0]["results"]["shifted"], alone, rtol=1e-12)


def test_levels_take_examples_of_all_processes(together):
    levels = [rank["results"]["levels"] for rank in together]
    assert all(other == levels[0] for other in levels)
    assert np.abs(levels[0]["off"]).max() < 4
    assert levels[0]["examples"] == [9, 17, 29]
    assert levels[0]["products"] < 81


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("equal data", "RankError: Ranks must have data of their own; ranks 0, 2 and ranks 1, 3 have the"),
        ("allowed", "no error"),
        ("no weights", "TypeError: share_examples needs an operator that knows its number of examples"),
        ("kind of operator", "(Rank|Type)Error: .*share_examples needs an operator that knows its number of examples"),
    ],
)  # fmt: skip
def test_what_cannot_be_shared_is_refused(together, case, message):
    for rank in together:
        assert re.match(message, rank["errors"][case])


def test_data_parallel_models_are_unwrapped(together, alone):
    H = hessian_operator(network(), LOSS, batches())
    expected = H.matvec(torch.ones(H.size, dtype=F64)).tolist()
    for rank in together:
        found = rank["data_parallel"]
        assert found["names"] == ["0.weight", "0.bias", "2.weight", "2.bias"]
        assert found["same"]
        assert "a hook ran" in found["hook"]  # so it would have been seen
        np.testing.assert_allclose(found["shared"], expected, rtol=0, atol=1e-14)
