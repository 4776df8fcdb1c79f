"""Other vectors, other weights and errors of one process are errors of all."""

import re

import pytest


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("vectors", r"RankError: All ranks must have the same vectors and model in a product; vectors is [\d.]+ on "
                    r"ranks 0, 1 and [\d.]+ on ranks 2, 3. Give all ranks the same seed."),
        ("counts", "RankError: All .*; number of vectors is 2 on ranks 0, 2, 3 and 3 on rank 1. Call the same"),
        ("drift", r"RankError: All .* in a product; parameters is [-\d.]+ on ranks 0, 1, 3 and [-\d.]+ on rank 2"),
    ],
)  # fmt: skip
def test_mismatches_in_a_product_are_named_on_every_rank(together, case, message):
    for rank in together:
        assert re.match(message, rank["errors"][case])


@pytest.mark.parametrize("case", ["failure", "failure in a grid"])
def test_an_error_of_one_rank_is_an_error_of_all(together, case):
    said = [rank["errors"][case] for rank in together]
    cause = "ValueError: data must give the same batches in every pass; batch 0 differs"
    assert said[1].startswith(cause)
    assert said[0].startswith(f"RankError: Ranks stop together; rank 1 failed with {cause}")
    assert all(re.match("RankError: Ranks stop together; rank . failed with ", line) for line in said[2:])
