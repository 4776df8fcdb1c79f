"""The CSV logger writes each row once, and only into its own file."""

import pytest

from hessdens.monitor import csv_logger

NUMBERS = {"loss": 0.5, "m_1": 1e-3}


def test_csv_rows_are_appended_and_never_doubled(tmp_path):
    path = tmp_path / "new" / "spectrum.csv"
    log = csv_logger(path)
    for step in (0, 10, 20):
        log(step, NUMBERS | {"loss": 0.1 * step})
    resumed = csv_logger(path)  # from a checkpoint of step 5
    resumed(10, NUMBERS | {"loss": float("nan")})
    resumed(15, NUMBERS)
    assert path.read_text().splitlines() == ["step,loss,m_1", "0,0.0,0.001", "10,nan,0.001", "15,0.5,0.001"]
    assert [entry.name for entry in path.parent.iterdir()] == ["spectrum.csv"]


def test_csv_of_other_columns_is_left_alone(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"must have the columns step, loss, m_1; got a, b. Give another file"):
        csv_logger(path)(0, NUMBERS)
    path.write_text("")
    with pytest.raises(ValueError, match="got none"):
        csv_logger(path)(0, NUMBERS)


@pytest.mark.parametrize(
    "content", [b"step,loss\nsoon,1\n", b"step,loss\n0,\xff\n", b"step,loss\n0\n", b"step,loss\n0," + b"1" * 200_000]
)
def test_damaged_logs_are_named(content, tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"A log must be a CSV file with a step in each row; got .*log\.csv"):
        csv_logger(path)(1, {"loss": 0.5})
    assert path.read_bytes() == content
