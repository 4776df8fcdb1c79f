"""The code of the monitor's page runs, in one namespace, and does what the page says."""

import contextlib
import io
import re
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from framework_parts import lightning_parts, quiet, transformers_parts

mpl.use("Agg")

NUMBERS = {"loss": 0.5, "m_1": 1e-3}
PAGE = Path(__file__).resolve().parents[2] / "docs/guide/training_runs.md"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the names that the page's blocks define, what they print, and the folder they ran in."""
    folder, names, output = tmp_path_factory.mktemp("page"), {}, io.StringIO()
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 4
    with contextlib.chdir(folder), contextlib.redirect_stdout(output):
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
    return SimpleNamespace(**names, printed=output.getvalue(), folder=folder)


def test_plain_loop(page):
    assert page.history.steps.tolist() == [0, 20, 40, 60, 80, 100]
    assert "6 records from step 0 to step 100" in page.printed
    assert "Change from step 0 to step 100" in page.printed
    assert (page.folder / "runs" / "spectrum.png").stat().st_size > 1000
    rows = (page.folder / "runs" / "spectrum.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "0", "20", "40", "60", "80", "100"]


def test_names_of_numbers_are_those_of_the_page(page):
    text = PAGE.read_text()
    for name in page.history[0].numbers():
        base = re.sub("_(low|high)$", "", name)
        assert f"`{base}`" in text or base in ("m_2", "m_3"), name


def test_wandb_steps_are_a_number_of_their_own(page):
    calls = []
    run = SimpleNamespace(
        define_metric=lambda *args, **kwargs: calls.append((args, kwargs)), log=lambda *args: calls.append(args)
    )
    page.wandb_logger(run)(7, NUMBERS)
    assert calls == [
        (("spectrum/*",), {"step_metric": "spectrum/step"}),
        ({"spectrum/step": 7, "spectrum/loss": 0.5, "spectrum/m_1": 1e-3},),
    ]


def test_tensorboard_reads_what_was_written(page, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        log = page.tensorboard_logger(writer)
        log(0, NUMBERS)
        log(30, NUMBERS | {"loss": 0.25})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(events.Tags()["scalars"]) == ["spectrum/loss", "spectrum/m_1"]
    assert [(event.step, event.value) for event in events.Scalars("spectrum/loss")] == [(0, 0.5), (30, 0.25)]


def test_tensorboard_by_a_stand_in(page):
    calls = []
    writer = SimpleNamespace(add_scalar=lambda *args: calls.append(args), flush=lambda: calls.append("flush"))
    page.tensorboard_logger(writer)(3, NUMBERS)
    assert calls == [("spectrum/loss", 0.5, 3), ("spectrum/m_1", np.float64(1e-3), 3), "flush"]


def test_loggers_take_the_numbers_of_a_monitor(page):
    calls = []
    writer = SimpleNamespace(add_scalar=lambda *args: calls.append(args), flush=lambda: None)
    run = SimpleNamespace(define_metric=lambda *args, **kwargs: None, log=lambda numbers: calls.append(numbers))
    for logger in (page.tensorboard_logger(writer), page.wandb_logger(run)):
        logger(3, {"loss": 0.5})
    assert calls == [("spectrum/loss", 0.5, 3), {"spectrum/step": 3, "spectrum/loss": 0.5}]


def test_lightning(page):
    module, loader, data = lightning_parts("lightning.pytorch")
    with quiet(), contextlib.chdir(page.folder):
        history = page.fit_with_lightning(module, loader, data)
    assert history.steps[0] == 0
    assert (page.folder / "runs" / "lightning.npz").exists()


def test_transformers(page):
    model, arguments, dataset, batches = transformers_parts(page.folder / "output", max_steps=2)
    with quiet(), contextlib.chdir(page.folder):
        history = page.train_with_transformers(model, arguments, dataset, batches)
    assert history.steps[0] == 0
