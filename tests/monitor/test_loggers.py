"""Adapters write each number once, under its name."""

from types import SimpleNamespace

import numpy as np
import pytest

from hessdens.monitor import csv_logger, tensorboard_logger, wandb_logger

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


def test_wandb_steps_are_a_number_of_their_own():
    calls = []
    run = SimpleNamespace(
        define_metric=lambda *args, **kwargs: calls.append((args, kwargs)), log=lambda *args: calls.append(args)
    )
    wandb_logger(run, prefix="hessian/")(7, NUMBERS)
    assert calls == [
        (("hessian/*",), {"step_metric": "hessian/step"}),
        ({"hessian/step": 7, "hessian/loss": 0.5, "hessian/m_1": 1e-3},),
    ]


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        log = tensorboard_logger(writer)
        log(0, NUMBERS)
        log(30, NUMBERS | {"loss": 0.25})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(events.Tags()["scalars"]) == ["spectrum/loss", "spectrum/m_1"]
    assert [(event.step, event.value) for event in events.Scalars("spectrum/loss")] == [(0, 0.5), (30, 0.25)]


def test_tensorboard_by_a_stand_in():
    calls = []
    writer = SimpleNamespace(add_scalar=lambda *args: calls.append(args), flush=lambda: calls.append("flush"))
    tensorboard_logger(writer, prefix="x/")(3, NUMBERS)
    assert calls == [("x/loss", 0.5, 3), ("x/m_1", np.float64(1e-3), 3), "flush"]
