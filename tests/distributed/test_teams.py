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


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("max_products", "max_products is 80 on rank 0 and 40 on ranks 1, 2, 3"),
        ("too few", "max_products is 1 on rank 0 and 50 on ranks 1, 2, 3"),
        ("num_probes", "num_probes is 2 on ranks 0, 1, 2 and 3 on rank 3"),
        ("support", r"support is '\(-1, 2\)' on ranks 0, 1, 2 and '\(-1, 3\)' on rank 3"),
        ("max_size", "max_size is 20 on ranks 0, 1 and 21 on ranks 2, 3"),
        ("layers", r"layers is None on rank 0 and \"{'all': \['\*'\]}\" on ranks 1, 2, 3"),
        ("checkpoint", "checkpoint is None on ranks 0, 2, 3 and 'a folder' on rank 1"),
        ("functions", "function is 'exact_spectrum' on ranks 0, 1, 3 and 'lanczos_density' on rank 2"),
        ("rtol", "rtol is 0.10000000000000002 on rank 0 and 0.1 on ranks 1, 2, 3"),
        ("operators", "number of operators is 2 on ranks 0, 2, 3 and 3 on rank 1"),
    ],
)
def test_each_argument_is_compared_before_anything_is_done(together, case, message):
    for rank in together:
        assert re.match(f"RankError: All ranks must have the same arguments; .*{message}", rank["errors"][case])


def test_ranks_may_have_folders_of_their_own(together):
    for rank in together:
        assert rank["errors"]["checkpoints"] == "no error"


def test_sharded_runs_resume_where_all_ranks_have_a_block(together):
    for rank in together:
        assert rank["sharded"]["resumed"] == [True, [f"rank-{r}-of-{RANKS}" for r in range(RANKS)]]
