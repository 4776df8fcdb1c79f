"""Teams of several processes: the same arguments everywhere, and files of each."""

import re

import pytest
from ranks import RANKS


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("errors", "RankError: All ranks must have the same arguments; seed is 1 on rank 0 and 0 on ranks 1, 2, 3"),
        ("sharded", "RankError: All ranks must have the same arguments; seed is 0 on ranks 0, 1 and 1 on ranks 2, 3"),
    ],
)
def test_other_arguments_are_named_on_every_rank(together, group, message):
    for rank in together:
        assert re.match(message, rank[group]["seeds"])


def test_sharded_runs_resume_where_all_ranks_have_a_block(together):
    for rank in together:
        assert rank["sharded"]["resumed"] == [True, [f"rank-{r}-of-{RANKS}" for r in range(RANKS)]]
