"""What differs between processes is named, with the processes, on each of them."""

import re

import pytest


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("models", r"RankError: All ranks must have the same model and loss; parameters is '\w{16}' on ranks 0, 1, 2 "
                   r"and '\w{16}' on rank 3. Load the same weights on all ranks"),
        ("losses", "RankError: All .*; loss is 'multi_margin_loss' on rank 0 and 'cross_entropy' on ranks 1, 2, 3"),
        ("other data", "RankError: All ranks must have the same operator; batches is 4 on ranks 0, 1, 3 and 3 on rank "
                       "2. Give all ranks the same data, or use share_examples. data is"),
        ("allow", "RankError: All .*; allow_equal_data is False on ranks 0, 2, 3 and True on rank 1"),
        ("settings", "RankError: All .*; settings of the loss is .* on ranks 0, 1, 3 and .* on rank 2"),
    ],
)  # fmt: skip
def test_mismatches_are_named_on_every_rank(together, case, message):
    for rank in together:
        assert re.match(message, rank["errors"][case])


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("equal data", "RankError: Ranks must have data of their own; ranks 0, 1, 2, 3 have the same."),
    ],
)  # fmt: skip
def test_equal_data_of_sharded_models_are_named(together, case, message):
    for rank in together:
        assert re.match(message, rank["sharded"][case])
