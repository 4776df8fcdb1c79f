"""Monitors: training goes on as without, records are right, comparable and resumable, failures end nothing."""

import copy
import itertools
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from hessdens import Plan, SpectrumMonitor, hessian_operator, lanczos_density
from hessdens.monitor import SpectrumHistory, csv_logger

LOSS = nn.CrossEntropyLoss()
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(60, 5, generator=GENERATOR)
TARGETS = (INPUTS[:, 0] > 0).long() + (INPUTS[:, 1] > 0.5).long()
FIXED = [(INPUTS[:32], TARGETS[:32])]
# A plan that is given makes products equal to the last bit.
PLAN = Plan("reverse-over-reverse", examples_per_block=32, probes_per_block=4)
SMALL = {"max_products": 12, "plan": PLAN}


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


def noisy_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 3))


def optimizer_of(model):
    return torch.optim.Adam(model.parameters(), lr=0.02)


def training(model, optimizer, num_steps):
    """Train, and yield the number of steps made after each."""
    for step in range(1, num_steps + 1):
        rows = torch.randint(0, len(INPUTS), (16,))
        optimizer.zero_grad()
        LOSS(model(INPUTS[rows]), TARGETS[rows]).backward()
        optimizer.step()
        yield step


class Clock:
    """One second a step of training, ten a measurement: turned by the loop, and by a logger."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def logger(self, step, numbers):
        self.now += 10.0


def state_of(model, optimizer):
    tensors = [*model.state_dict().values(), *(parameter.grad for parameter in model.parameters())]
    moments = [value for entry in optimizer.state_dict()["state"].values() for value in entry.values()]
    randomness = [torch.get_rng_state(), torch.tensor(np.random.get_state()[1].astype(np.int64))]  # noqa: NPY002
    return [tensor.clone() for tensor in [*tensors, *moments, *randomness]]


def test_training_is_the_same_to_the_last_bit(tmp_path):
    def run(watched):
        model = noisy_network()
        model[2].eval()  # a mode of its own, which must come back
        random.seed(0)
        torch.manual_seed(1)
        optimizer, monitor = optimizer_of(model), None
        if watched:
            monitor = SpectrumMonitor(
                model, LOSS, FIXED, every=3, overhead=None, max_products=12, history=tmp_path / "h.npz"
            )
        for step in training(model, optimizer, 7):
            modes = [module.training for module in model.modules()]
            if monitor is not None:
                monitor.step()
                assert len(monitor.history) == 1 + step // 3
            assert [module.training for module in model.modules()] == modes
        assert model.training
        assert not model[2].training
        return state_of(model, optimizer), random.random()

    (plain, chance), (watched, other) = run(False), run(True)
    assert chance == other
    assert len(plain) == len(watched) > 20
    for first, second in zip(plain, watched, strict=True):
        assert torch.equal(first, second)


def test_records_are_densities_of_the_model_in_evaluation_mode_at_each_step():
    model = noisy_network()
    monitor = SpectrumMonitor(model, LOSS, FIXED, every=2, overhead=None, seed=3, **SMALL)
    copies = [copy.deepcopy(model)]
    for _ in training(model, optimizer_of(model), 4):
        monitor.step()
        copies.append(copy.deepcopy(model))
    for step in (0, 2, 4):
        still = copies[step].eval()
        H = hessian_operator(still, LOSS, FIXED, plan=PLAN)
        expected = lanczos_density(H, max_products=12, seed=3)
        record = monitor.history.at(step)
        np.testing.assert_array_equal(record.density.quadrature.weights, expected.quadrature.weights)
        np.testing.assert_array_equal(record.density.nodes(), expected.nodes())
        assert record.loss == pytest.approx(LOSS(still(INPUTS[:32]), TARGETS[:32]).item(), rel=1e-6)
    assert monitor.history.steps.tolist() == [0, 2, 4]


def test_steps_of_a_budget_are_exact_and_within_it():
    clock = Clock()
    model = network()
    monitor = SpectrumMonitor(model, LOSS, FIXED, overhead=0.125, clock=clock, loggers=[clock.logger], **SMALL)
    measured = []
    for step in range(1, 401):
        clock.now += 1.0
        if monitor.step():
            measured.append(step)
            assert monitor.overhead <= 0.125
    # Each 10 s: the first and twice another are paid for after 240 s, one more each 80 s.
    assert measured == [240, 320, 400]
    assert monitor.overhead == 40 / 400
    clock.now += 100.0  # training goes on
    assert monitor.overhead == 40 / 500
    assert monitor.history.steps.tolist() == [0, *measured]
    last = monitor.history[-1]
    assert (last.training_seconds, last.measuring_seconds) == (400.0, 30.0)  # its own logging comes after it


def test_every_and_budget_together():
    clock = Clock()
    monitor = SpectrumMonitor(
        network(), LOSS, FIXED, every=50, overhead=0.125, clock=clock, loggers=[clock.logger], **SMALL
    )
    for _ in range(400):
        clock.now += 1.0
        monitor.step()
    assert monitor.history.steps.tolist() == [0, 250, 350, 400]


def test_never_twice_at_one_step_and_never_back():
    calls = []
    monitor = SpectrumMonitor(
        network(), LOSS, FIXED, every=1, overhead=None, loggers=[lambda step, _: calls.append(step)], **SMALL
    )
    assert monitor(0) is None
    first = monitor.measure()
    assert first is monitor.history[0]
    assert monitor(5).step == 5
    assert monitor(5) is None
    assert monitor.step().step == 6
    assert calls == [0, 5, 6]
    with pytest.raises(ValueError, match=r"step must not go back; got 4 after 6. Make a new monitor with start=4"):
        monitor(4)


def test_measuring_by_hand_is_paid_for():
    clock = Clock()
    monitor = SpectrumMonitor(network(), LOSS, FIXED, overhead=0.5, clock=clock, loggers=[clock.logger], **SMALL)
    for step in range(1, 101):
        clock.now += 1.0
        found = monitor(step)
        if step == 10:
            assert found is None
            assert monitor.measure().step == 10
    assert monitor.history.steps.tolist() == [0, 10, 80, 100]  # two and twice another are 40 s: paid for after 80 s


def resumable(path, model, start=0, **others):
    options = {"every": 2, "overhead": None, "history": path, "start": start, **SMALL, **others}
    return SpectrumMonitor(model, LOSS, FIXED, **options)


def test_resumed_run_ends_with_the_same_history(tmp_path):
    def go(monitor, model, steps):
        torch.manual_seed(steps.start)
        for parameter in itertools.cycle(model.parameters()):
            with torch.no_grad():  # training without a state of its own, so that it goes on from the weights
                parameter.add_(0.05 * torch.randn(parameter.shape))
            if monitor.step() and monitor.history[-1].step >= steps.stop:
                return

    whole, model = tmp_path / "whole.npz", network()
    monitor = resumable(whole, model)
    go(monitor, model, range(4))
    kept = copy.deepcopy(model)
    go(monitor, model, range(4, 10))

    killed, model = tmp_path / "killed.npz", network()
    monitor = resumable(killed, model)
    go(monitor, model, range(4))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), kept.parameters(), strict=True))
    go(monitor, model, range(7, 6))  # goes on to step 6, and is killed; the checkpoint is of step 4
    del monitor
    again = resumable(killed, kept, start=4)
    assert again.history.steps.tolist() == [0, 2, 4]
    go(again, kept, range(4, 10))

    first, second = SpectrumHistory.load(whole), SpectrumHistory.load(killed)
    assert first.steps.tolist() == second.steps.tolist() == [0, 2, 4, 6, 8, 10]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.density.nodes(), other.density.nodes())
        assert one.loss == other.loss


def test_resumed_run_has_the_budget_of_the_whole(tmp_path):
    clock = Clock()
    options = {"every": None, "overhead": 0.125, "clock": clock, "loggers": [clock.logger]}
    monitor = resumable(tmp_path / "h.npz", network(), **options)
    for _ in range(250):
        clock.now += 1.0
        monitor.step()
    again = resumable(tmp_path / "h.npz", network(), start=245, **options)
    found = []
    for _ in range(100):
        clock.now += 1.0
        found += [record.step for record in [again.step()] if record]
    # Its 10 s in the logger came after the record at 240, and the 10 s of training since then are lost too: 10 s are
    # spent of what 240 s allow, and after another measurement 20 s, so that a third waits for 320 s.
    assert found == [246, 325]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"max_products": 16}, "max_products is 12 there and 16 here"),
        ({"num_probes": 3}, "num_probes is 'default' there and 3 here"),
        ({"low_memory": True}, "low_memory is False there and True here"),
        ({"parameters": "0.*"}, "size is 57 there and 36 here"),
    ],
)
def test_history_of_another_kind_is_refused(tmp_path, change, message):
    resumable(tmp_path / "h.npz", network())
    with pytest.raises(ValueError, match=f"history must be of the same model, loss, data and probes; .*{message}"):
        resumable(tmp_path / "h.npz", network(), **change)


def test_history_of_other_data_loss_or_model_is_refused(tmp_path):
    path = tmp_path / "h.npz"
    resumable(path, network())
    others = {"every": 2, "history": path, **SMALL}
    with pytest.raises(ValueError, match=r"data is .* there and .* here"):
        SpectrumMonitor(network(), LOSS, [(INPUTS[1:33], TARGETS[1:33])], **others)
    with pytest.raises(ValueError, match=r"loss is 'CrossEntropyLoss' there and 'cross_entropy' here"):
        SpectrumMonitor(network(), nn.functional.cross_entropy, FIXED, **others)
    with pytest.raises(ValueError, match=r"model is 'Sequential' there and 'Linear' here"):
        SpectrumMonitor(nn.Linear(5, 3), LOSS, FIXED, **others)


def test_run_that_starts_anew_does_not_take_over_a_finished_history(tmp_path):
    path = tmp_path / "h.npz"
    monitor = resumable(path, network())
    assert resumable(path, network()).history.steps.tolist() == [0]  # killed before its second measurement
    monitor(4)
    with pytest.raises(ValueError, match=r"starts anew needs a new history; .* has records up to step 4\. .* start="):
        resumable(path, network())
    assert SpectrumHistory.load(path).steps.tolist() == [0, 4]


def test_logger_that_fails_is_said_once_and_training_goes_on(tmp_path):
    seen = []

    def broken(step, numbers):
        raise ConnectionError("no network")

    loggers = [broken, lambda step, numbers: seen.append((step, sorted(numbers)))]
    # Made once before, since torch may warn of its own on first use.
    SpectrumMonitor(network(), LOSS, FIXED, **SMALL)
    with pytest.warns(UserWarning, match=r"Logger 0 \(.*broken\) failed: ConnectionError: no network") as caught:
        monitor = SpectrumMonitor(network(), LOSS, FIXED, every=1, overhead=None, loggers=loggers, **SMALL)
    assert len(caught) == 1
    monitor.step()
    monitor.step()
    assert [step for step, _ in seen] == [0, 1, 2]
    assert {"m_1", "m_4_low", "degenerate_high", "largest", "loss"} <= set(seen[0][1])


def test_history_that_cannot_be_written_is_said_once_and_written_later(tmp_path):
    folder = tmp_path / "runs"
    monitor = resumable(folder / "h.npz", network())
    (folder / "h.npz").unlink()
    folder.rmdir()
    with pytest.warns(UserWarning, match=r"history could not be saved to .*h.npz: .*folder") as caught:
        monitor(2)
    assert len(caught) == 1
    monitor(4)
    folder.mkdir()
    monitor(6)
    assert SpectrumHistory.load(folder / "h.npz").steps.tolist() == [0, 2, 4, 6]


def test_products_that_are_not_finite_are_recorded_and_the_monitor_goes_on(tmp_path):
    model, path = network(), tmp_path / "spectrum.csv"
    monitor = resumable(tmp_path / "h.npz", model, loggers=[csv_logger(path)])
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    record = monitor(2)
    assert record.density is None
    assert "must be finite" in record.failure
    assert np.isnan(record.loss)
    with torch.no_grad():
        for parameter, weight in zip(model.parameters(), weights, strict=True):
            parameter.copy_(weight)
    np.testing.assert_array_equal(monitor(4).density.nodes(), monitor.history[0].density.nodes())
    assert [record.density is None for record in SpectrumHistory.load(tmp_path / "h.npz")] == [False, True, False]
    assert path.read_text().splitlines()[2].startswith("2,nan,nan")


def test_model_of_another_shape_stops_the_monitor_not_training():
    model = network()
    monitor = SpectrumMonitor(model, LOSS, FIXED, every=1, overhead=None, **SMALL)
    model[0], model[2] = nn.Linear(5, 8), nn.Linear(8, 3)
    model.train()
    with pytest.warns(UserWarning, match=r"The monitor stops at step 1. ValueError: The model must stay as it was"):
        assert monitor.step() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [monitor.step() for _ in range(3)] == [None] * 3
    assert monitor.stopped.startswith("ValueError: The model must stay")
    assert all(module.training for module in model.modules())
    assert len(monitor.history) == 1


def test_any_error_of_a_later_measurement_stops_the_monitor_only():
    batches = list(FIXED)
    monitor = SpectrumMonitor(network(), LOSS, batches, every=1, overhead=None, **SMALL)
    batches[0] = (INPUTS[5:37], TARGETS[5:37])
    with pytest.warns(UserWarning, match=r"stops at step 1. ValueError: data must give the same batches"):
        monitor.step()


def test_frozen_parameters_are_said_once_and_stay_in_the_spectrum():
    model = network()
    monitor = SpectrumMonitor(model, LOSS, FIXED, every=1, overhead=None, **SMALL)
    model[0].requires_grad_(False)
    with pytest.warns(UserWarning, match=r"frozen or unfrozen since .* \(0.bias, 0.weight\)") as caught:
        record = monitor.step()
    assert len(caught) == 1
    monitor.step()
    assert record.density.size == 57
    np.testing.assert_array_equal(record.density.nodes(), monitor.history[0].density.nodes())


def test_unfrozen_parameters_stay_out_of_the_spectrum():
    model = network()
    model[0].requires_grad_(False)
    monitor = SpectrumMonitor(model, LOSS, FIXED, every=1, overhead=None, **SMALL)
    model[0].requires_grad_(True)
    with pytest.warns(UserWarning, match="frozen or unfrozen"):
        record = monitor.step()
    assert record.density.size == 21
    np.testing.assert_array_equal(record.density.nodes(), monitor.history[0].density.nodes())


def test_other_forward_and_weights():
    """Batches as mappings, a loss per token, and weights that count tokens."""
    mask = torch.arange(60) % 3 > 0
    batches = [
        {"x": INPUTS[:20], "y": TARGETS[:20], "mask": mask[:20]},
        {"x": INPUTS[20:], "y": TARGETS[20:], "mask": mask[20:]},
    ]
    model = network()
    monitor = SpectrumMonitor(
        model,
        lambda outputs, targets: LOSS(outputs, targets),
        batches,
        forward=lambda model, batch: (model(batch["x"])[batch["mask"]], batch["y"][batch["mask"]]),
        num_examples=lambda batch: int(batch["mask"].sum()),
        max_products=12,
    )
    expected = LOSS(model(INPUTS[mask]), TARGETS[mask])
    assert monitor.history[0].loss == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"max_products": 7}, ValueError, "max_products must be at least 8; got 7"),
        ({"overhead": None}, ValueError, "every or overhead must be given; got None for both"),
        ({"every": 0}, ValueError, "every must be at least 1; got 0"),
        ({"overhead": 0.0}, ValueError, "overhead must be positive and finite, a share of training time; got 0.0"),
        ({"overhead": float("inf")}, ValueError, "overhead must be positive and finite"),
        ({"start": -1}, ValueError, "start must be at least 0; got -1"),
        ({"loggers": ["log.csv"]}, TypeError, r"callable as logger\(step, numbers\); got str"),
        ({"window": -0.1}, ValueError, "window must be finite and at least 0; got -0.1"),
        ({"num_probes": 1}, ValueError, "num_probes must be at least 2"),
    ],
)
def test_bad_arguments(change, error, message):
    with pytest.raises(error, match=message):
        SpectrumMonitor(network(), LOSS, FIXED, **change)


def test_file_that_is_no_history_is_refused(tmp_path):
    (tmp_path / "h.npz").write_text("nothing")
    with pytest.raises(ValueError, match=r"whole \.npz file"):
        resumable(tmp_path / "h.npz", network())
