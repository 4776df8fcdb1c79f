"""Parts of data: uneven ones, and data that have none."""

import re

import pytest


def test_parts_are_uneven_and_cover_all(together):
    assert [rank["results"]["own examples"] for rank in together] == [5.0, 7.0, 8.0, 9.0]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("part", "ValueError: data must have an item for each of the 4 ranks; got 3. Make smaller batches"),
        ("items", "RankError: All ranks must have the same data, to divide them; number of items is 7 on ranks 0"),
        ("kind of data", r"TypeError: data must be a sequence of batches or a dataset with a length; got set. "),
    ],
)  # fmt: skip
def test_data_without_parts_are_refused(together, case, message):
    for rank in together:
        assert re.match(message, rank["errors"][case])
