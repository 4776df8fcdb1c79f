"""Threads that wait for a core are noticed, once, and nothing else is."""

import logging
import os
import threading

import pytest
import torch

from hessdens import _threads, as_operator, fisher_operator, ggn_operator, hessian_operator, lanczos_density
from hessdens._threads import PAUSE, PERIOD, Watch, thread_times
from hessdens.structure import output_gram

CPU = torch.device("cpu")


class Machine:
    """A clock, and threads that run and wait as they are told."""

    def __init__(self, *, is_known=True):
        self.now = 100.0
        self.times = {"1": (50.0, 40.0)} if is_known else None
        self.num_reads = 0
        self.watch = Watch(self.read, lambda: self.now)

    def read(self):
        self.num_reads += 1
        return None if self.times is None else dict(self.times)

    def spend(self, seconds, *, waiting, running=1.0, threads=("1", "2")):
        """Let time go by in which each thread runs and waits so many seconds in a second."""
        self.now += seconds
        for name in threads if self.times is not None else ():
            past = self.times.get(name, (0.0, 0.0))
            self.times[name] = (past[0] + running * seconds, past[1] + waiting * seconds)

    def product(self, seconds, device=CPU, **rates):
        with self.watch.work(device):
            self.spend(seconds, **rates)


@pytest.fixture
def machine(monkeypatch, caplog):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    caplog.set_level(logging.DEBUG, logger="hessdens")
    return Machine()


def test_waiting_threads_are_said_once_with_what_to_write(machine, caplog):
    for _ in range(10):
        machine.product(PERIOD, running=0.5, waiting=0.5)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("hessdens", "WARNING")
    assert record.getMessage().splitlines() == [
        "hessdens: work is slow, because torch has 2 threads and too few cores are free: threads waited for a "
        "core in 50% of their time.",
        "Write torch.set_num_threads(1), or set OMP_NUM_THREADS=1 before Python starts.",
    ]
    assert machine.num_reads == 2


@pytest.mark.parametrize(("running", "fewer"), [(0.3, 4), (0.01, 1), (0.99, 15)])
def test_advice_is_as_many_threads_as_there_were_cores(running, fewer, machine, caplog, monkeypatch):
    """16 threads on 4.8 cores, as in a container that may use 5; on less than one; on almost all."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    machine.product(PERIOD, running=running, waiting=0.3, threads=[str(i) for i in range(16)])
    assert f"torch.set_num_threads({fewer}), or set OMP_NUM_THREADS={fewer} " in caplog.text


def test_short_products_are_added_up(machine, caplog):
    for _ in range(int(PERIOD / 0.25) - 1):
        machine.product(0.25, running=0.5, waiting=0.5)
    assert machine.num_reads == 1
    assert not caplog.records
    machine.product(0.25, running=0.5, waiting=0.5)
    assert len(caplog.records) == 1


def test_a_long_product_is_judged_before_its_end(machine, caplog):
    with machine.watch.work(CPU):
        machine.spend(PERIOD, running=0.5, waiting=0.5)
        machine.watch.look()
        assert len(caplog.records) == 1


def test_a_machine_that_becomes_busy_later_is_noticed(machine, caplog):
    for _ in range(100):
        machine.product(1.0, waiting=0.0)
    assert not caplog.records
    for _ in range(4):
        machine.product(1.0, running=0.5, waiting=0.5)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("rates", [{"waiting": 0.01}, {"waiting": 0.1}, {"running": 0.01, "waiting": 0.1}])
def test_quiet_machine_is_silent(rates, machine, caplog):
    """A little waiting; more, but less than a quarter of a second in a second; much of a time with little to do."""
    for _ in range(10):
        machine.product(PERIOD, **rates)
    assert not caplog.records
    assert machine.num_reads == 11


def test_many_threads_that_wait_little_are_silent(machine, caplog):
    """64 threads which wait 1% of their time each wait 0.6 seconds in a second together."""
    machine.product(PERIOD, waiting=0.01, threads=[str(i) for i in range(64)])
    assert not caplog.records


def test_what_happens_outside_of_products_does_not_count(machine, caplog):
    for _ in range(10):
        machine.product(PERIOD / 2, waiting=0.0)
        machine.spend(2 * PAUSE, waiting=1.0)
        machine.watch.look()
    assert not caplog.records


def test_nothing_is_measured_with_one_thread_or_on_another_device(machine, caplog, monkeypatch):
    machine.product(2 * PERIOD, device=torch.device("cuda"), waiting=1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    machine.product(2 * PERIOD, waiting=1.0)
    assert machine.num_reads == 0
    assert not caplog.records


def test_nothing_is_said_where_the_number_of_threads_was_reduced_meanwhile(machine, caplog, monkeypatch):
    with machine.watch.work(CPU):
        machine.spend(PERIOD, running=0.5, waiting=0.5)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert not caplog.records


def test_parts_of_a_product_belong_to_it(machine, caplog):
    with machine.watch.work(CPU):
        machine.spend(PERIOD - 0.5, running=0.5, waiting=0.5)
        machine.product(0.6, running=0.5, waiting=0.5)
    assert len(caplog.records) == 1


def test_errors_pass_and_end_their_product(machine, caplog):
    with pytest.raises(KeyError), machine.watch.work(CPU):
        raise KeyError
    machine.spend(PERIOD, waiting=1.0)
    machine.watch.look()
    assert not caplog.records


def test_system_that_does_not_tell_is_asked_once(monkeypatch, caplog):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    machine = Machine(is_known=False)
    for _ in range(3):
        machine.product(PERIOD, waiting=1.0)
    assert machine.num_reads == 1
    assert not caplog.records


def test_times_of_threads(monkeypatch, tmp_path):
    monkeypatch.setattr(_threads, "TASKS", tmp_path)
    assert thread_times() == {}
    (tmp_path / "7").mkdir()
    assert thread_times() is None  # as where the kernel keeps no such times
    (tmp_path / "7/schedstat").write_text("1500000000 250000000 12\n")
    assert thread_times() == {"7": (1.5, 0.25)}
    (tmp_path / "7/schedstat").write_text("0\n")
    assert thread_times() is None
    monkeypatch.setattr(_threads, "TASKS", tmp_path / "missing")
    assert thread_times() is None


def test_thread_that_ends_meanwhile_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(_threads, "TASKS", tmp_path)
    monkeypatch.setattr(os, "listdir", lambda folder: ["7"])
    assert thread_times() == {}


def test_times_of_this_process():
    times = thread_times()
    if times is None:
        pytest.skip("this system does not keep times of threads")
    assert str(threading.get_native_id()) in times
    assert all(running >= 0 and waiting >= 0 for running, waiting in times.values())


@pytest.mark.parametrize("make", [hessian_operator, ggn_operator, fisher_operator])
def test_making_an_operator_and_its_products_are_watched(make, machine, monkeypatch, caplog, recwarn):
    """No warning of Python: a program that makes errors of them goes on."""
    depths = []
    monkeypatch.setattr(machine.watch, "look", lambda: depths.append(machine.watch._depth))
    for module in ("linalg.operator", "curvature.engines.replacement", "curvature.factories"):
        monkeypatch.setattr(f"hessdens.{module}.WATCH", machine.watch)
    model, data = torch.nn.Linear(2, 2), [(torch.eye(2), torch.arange(2))] * 3
    H = make(model, torch.nn.CrossEntropyLoss(), data)
    assert len(depths) > 3
    assert set(depths) == {1}
    del depths[:]
    H @ torch.ones(6)
    assert len(depths) > 3  # in each batch, and at the end
    assert set(depths) == {1}
    assert not recwarn.list


def test_the_device_is_that_of_the_model(machine, monkeypatch):
    monkeypatch.setattr("hessdens.curvature.factories.WATCH", machine.watch)
    with pytest.raises(ValueError, match="The parameters must have values"):
        hessian_operator(torch.nn.Linear(2, 2, device="meta"), torch.nn.MSELoss(), [])
    assert machine.num_reads == 0
    with pytest.raises(TypeError, match="model must be"):
        hessian_operator(None, torch.nn.MSELoss(), [])
    assert machine.num_reads == 1


def test_gram_matrices_are_watched(machine, monkeypatch):
    monkeypatch.setattr("hessdens.structure.gauss_newton.gram.WATCH", machine.watch)
    G = ggn_operator(torch.nn.Linear(2, 1), torch.nn.MSELoss(), [(torch.eye(2), torch.ones(2, 1))])
    output_gram(G)
    assert machine.num_reads == 1


def test_matrices_of_others_are_watched(machine, monkeypatch):
    monkeypatch.setattr("hessdens.linalg.operator.WATCH", machine.watch)
    as_operator(torch.eye(3)) @ torch.ones(3)
    assert machine.num_reads == 1


def test_a_busy_machine_is_noticed_by_an_estimate(machine, monkeypatch, caplog, recwarn):
    def product(V):
        machine.spend(1.0, running=0.5, waiting=0.5)
        return torch.arange(30.0, dtype=V.dtype)[:, None] * V

    monkeypatch.setattr("hessdens.linalg.operator.WATCH", machine.watch)
    A = as_operator(product, size=30)
    lanczos_density(A, max_products=20)
    assert len(caplog.records) == 1
    assert not recwarn.list
