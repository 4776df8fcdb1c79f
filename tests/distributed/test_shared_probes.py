"""Processes that divide probes give the results of one."""

import re

import pytest
from ranks import assert_close


@pytest.mark.parametrize("way", ["probes", "probes of half", "both"])
def test_every_estimator_gives_the_result_of_one_process(together, alone, way):
    results = [rank["results"][way] for rank in together]
    assert all(result == results[0] for result in results)
    assert_close(results[0], alone, 1e-12)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("functions of vectors", r"RankError: All .* the same operator; a product is [\d.]+ on rank 0 and [\d.]+"),
        ("matrices", "RankError: All ranks must have the same operator; entries is .* on rank 0 and .* on ranks 1, 2"),
        ("dtypes", "RankError: All ranks must have the same operator; .*dtype is 'torch.float32' on rank 0 and '"),
        ("lopsided", r"(Value|Rank)Error: .*An operator must be symmetric"),
    ],
)  # fmt: skip
def test_other_matrices_are_named_on_every_rank(together, case, message):
    for rank in together:
        assert re.match(message, rank["errors"][case])


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("probes", "ValueError: share_probes needs whole vectors"),
    ],
)  # fmt: skip
def test_sharded_models_are_refused(together, case, message):
    for rank in together:
        assert re.match(message, rank["sharded"][case])
