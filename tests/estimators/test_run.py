"""The frame of estimators: arguments, blocks of probes, finished work, and what it has cost."""

import inspect
import io
import re
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hessdens import as_operator, exact_spectrum, ggn_operator, hessian_operator, lanczos_density, spectral_moments
from hessdens.eigenvectors import eigenpairs, loss_slice
from hessdens.estimators import certified_counts, chebyshev_moments, data_noise
from hessdens.estimators import run as run_module
from hessdens.estimators.checkpoint import Recorded
from hessdens.estimators.run import ACCURACIES, WHOLE_NUMBERS, Bar, Run, called_alike
from hessdens.linalg.power_walk import PowerWalk
from hessdens.linalg.probes import operator_probes
from hessdens.linalg.team import Team
from hessdens.multilevel import multilevel_layer_traces, multilevel_moments
from hessdens.structure import (
    block_densities,
    block_norms,
    curvature_halves,
    diagonal,
    layer_moments,
    layer_traces,
    output_gram,
)

SETTINGS = {"function": "test"}


@pytest.fixture
def counted():
    """Return an operator that knows how many products it has made."""

    def product(V):
        operator.products += V.shape[1]
        return torch.linspace(-1, 2, 20, dtype=torch.float64)[:, None] * V

    operator = as_operator(product, size=20, check_symmetric=False)
    operator.products = 0
    return operator


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_moments": 0}, "num_moments must be at least 1; got 0"),
        ({"num_moments": 10_001}, "num_moments must be at most 10,000; got 10,001"),
        ({"block_size": -1}, "block_size must be at least 1; got -1"),
        ({"num_probes": 1}, "num_probes must be at least 2, for a standard error; got 1"),
        ({"seed": -1}, "seed must be a non-negative integer; got -1"),
        ({"distribution": "uniform"}, "distribution must be one of .*; got 'uniform'"),
    ],
)
def test_arguments_are_looked_at_before_anything_is_done(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Run("no operator", checkpoint=tmp_path / "work", **arguments)
    assert not list(tmp_path.iterdir())


def test_samples_that_do_not_fit_are_refused_before_anything_is_done(counted, monkeypatch):
    monkeypatch.setattr(run_module, "free_bytes", lambda device: 2**20)
    with pytest.raises(
        MemoryError, match=r"4 moments from 20,000 probes needs about 1.22 MiB; 1 MiB are free. Take fewe"
    ):
        Run(counted, 4).samples(0, 20_000, partial(PowerWalk, operator=counted), PowerWalk.layout(), None)
    assert counted.products == 0


@pytest.mark.parametrize(
    ("mine", "others", "message"),
    [
        ({"seed": 0, "A": 1, "progress": True}, {"seed": 0, "A": 2, "progress": False}, None),
        ({"checkpoint": "a"}, {"checkpoint": Path("b")}, None),
        ({"checkpoint": "a"}, {"checkpoint": None}, "checkpoint"),
        ({"layers": {"all": print}}, {"layers": {"all": len}}, "layers"),
        ({"layers": {"all": partial(print, end="")}}, {"layers": {"all": partial(print, end="")}}, None),
        ({"support": (0, np.float64(1))}, {"support": (0, np.float64(2))}, "support"),
        ({"num_probes": 3}, {"num_probes": None}, "num_probes"),
        ({"num_probes": 3}, {"num_probes": np.int64(3)}, None),
        ({"rtol": 0.1}, {"rtol": 0.1 + 2**-56}, "rtol"),
    ],
)
def test_arguments_that_processes_compare(counted, monkeypatch, mine, others, message):
    told = []
    counted.team = Team()
    monkeypatch.setattr(counted.team, "check_same", told.append)
    for arguments in (mine, others):
        assert called_alike("estimate", counted, arguments) is counted
    assert told[0]["function"] == "estimate"
    differing = [name for name in told[0] if told[0][name] != told[1][name]]
    assert differing == ([] if message is None else [message])


def test_probes_and_blocks(counted):
    run = Run(counted, 4, 7, "rademacher", 3)
    assert run.operator is counted
    assert torch.equal(run.probes(2, 5), operator_probes(counted, 7, 2, 5, "rademacher"))
    assert list(run.blocks(2, 9)) == [(2, 5), (5, 8), (8, 9)]
    assert run.recorded is counted
    assert counted.products == 0


def test_samples_come_from_finished_work(counted, tmp_path):
    expected = Run(counted, 5, block_size=4).samples(
        0, 10, partial(PowerWalk, operator=counted), PowerWalk.layout(), Run(counted).bar(1)
    )
    for count, products in ((4, 4 * 3), (4, 0), (10, 6 * 3)):
        run = Run(counted, 5, block_size=4, checkpoint=tmp_path, settings=SETTINGS)
        assert isinstance(run.recorded, Recorded)
        counted.products = 0
        samples = run.samples(0, count, partial(PowerWalk, operator=counted), PowerWalk.layout(), run.bar(1))
        assert counted.products == products
        np.testing.assert_array_equal(samples, expected[:count])
        assert 0 <= run.asymmetry < 1e-14


def test_work_of_another_beginning_is_another_one(counted, tmp_path):
    Run(counted, checkpoint=tmp_path, settings=SETTINGS)
    with pytest.raises(ValueError, match="function is 'test' there and 'other' here"):
        Run(counted, checkpoint=tmp_path, settings={"function": "other"})
    with pytest.raises(ValueError, match="seed is 0 there and 3 here"):
        Run(counted, seed=3, checkpoint=tmp_path, settings=SETTINGS)


def test_bar_is_silent_unless_it_is_wanted(counted, capsys):
    for progress in (False, True):
        run = Run(counted, 4, block_size=2, progress=progress)
        with run.bar(6) as bar:
            run.samples(0, 3, partial(PowerWalk, operator=counted), PowerWalk.layout(), bar)
        assert ("6/6" in capsys.readouterr().err) == progress


MATRIX = np.diag(np.concatenate([np.zeros(90), np.linspace(-1, 5, 10)]))
LOW_RANK = np.diag(np.concatenate([np.zeros(95), np.ones(5)]))
BATCHES = [(torch.eye(4), torch.ones(4, 1)), (torch.eye(4)[:2], torch.ones(2, 1))]


def operator_of(make=hessian_operator):
    torch.manual_seed(0)
    return make(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)), nn.MSELoss(), BATCHES)


@pytest.mark.parametrize(
    "call",
    [
        lambda: eigenpairs(MATRIX, 1, max_products=1_000, progress=True),
        lambda: spectral_moments(MATRIX, 1, rtol=0.1, max_products=1_000, progress=True),
        lambda: layer_traces(MATRIX, {"all": slice(0, 100)}, atol=5.0, max_products=1_000, progress=True),
        lambda: lanczos_density(MATRIX, rtol=0.5, window=1.0, max_products=1_000, progress=True),
    ],
)
def test_a_limit_is_no_total_by_which_time_is_told(capsys, call):
    """Of "16/1000 [00:36<38:40]" the time left is wrong where 16 are enough."""
    call()
    shown = capsys.readouterr().err
    assert re.search(r"products, (1,000|100) at most", shown)
    assert "/1000 " not in shown


@pytest.mark.parametrize(
    ("call", "unit"),
    [
        (lambda: lanczos_density(MATRIX, max_products=30, progress=True), "products"),
        (lambda: lanczos_density(MATRIX, max_products=60, rtol=0.5, window=1.0, progress=True), "products"),
        (lambda: lanczos_density(LOW_RANK, max_products=60, progress=True), "products"),
        (lambda: lanczos_density(MATRIX, max_products=30, low_memory=True, progress=True), "products"),
        (lambda: spectral_moments(MATRIX, progress=True), "products"),
        (lambda: spectral_moments(MATRIX, rtol=0.1, max_products=2000, progress=True), "products"),
        (lambda: spectral_moments(LOW_RANK, progress=True), "products"),
        (lambda: spectral_moments(MATRIX, method="skilling", progress=True), "products"),
        (lambda: chebyshev_moments(MATRIX, 10, max_products=60, progress=True), "products"),
        (lambda: certified_counts(MATRIX, max_products=50, progress=True), "products"),
        (lambda: certified_counts(LOW_RANK, max_products=90, progress=True), "products"),
        (lambda: exact_spectrum(MATRIX, progress=True), "columns"),
        (lambda: data_noise([MATRIX, 2 * MATRIX], 2, progress=True), "products"),
        (lambda: eigenpairs(MATRIX, 3, progress=True), "products"),
        (lambda: loss_slice(operator_of(), torch.ones(19), progress=True), "points"),
        (lambda: diagonal(MATRIX, max_products=20, progress=True), "products"),
        (lambda: diagonal(MATRIX, max_products=20, low_memory=True, progress=True), "products"),
        (lambda: diagonal(MATRIX, max_products=200, progress=True), "columns"),
        (lambda: layer_traces(operator_of(), max_products=8, progress=True), "products"),
        (lambda: layer_moments(operator_of(), 1, max_products=8, progress=True), "products with the Hessian's block 0"),
        (lambda: layer_moments(operator_of(), 1, method="skilling", progress=True), "vectors with the Hessian"),
        (lambda: block_densities(operator_of(), max_products=8, progress=True), "products with the Hessian's block 0"),
        (lambda: block_norms(operator_of(), num_probes=2, progress=True), "products with the Hessian"),
        (lambda: curvature_halves(operator_of(), max_products=8, progress=True), "products with the Hessian"),
        (lambda: output_gram(operator_of(ggn_operator), progress=True), "blocks"),
    ],
)
def test_bars_say_what_they_count_and_end_at_their_total(monkeypatch, call, unit):
    bars = []

    class Watched(Bar):
        def __init__(self, *args, **settings):
            super().__init__(*args, **settings | {"file": io.StringIO(), "disable": False})
            bars.append(self)
            self.announced = self.total

    monkeypatch.setattr(run_module, "Bar", Watched)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call()
    assert bars
    for bar in bars:
        assert 0 < bar.n == bar.total, bar.desc
        assert bar.announced is None or bar.n <= bar.announced, bar.desc
        assert "100%" in bar.fp.getvalue()
    assert bars[0].desc.startswith(unit)


def test_a_bar_stays_where_an_error_came(counted, capsys):
    def fail():
        with Run(counted, progress=True).bar(6) as bar:
            bar.update(2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert "2/6" in capsys.readouterr().err.splitlines()[-1]


def test_certificates_say_what_it_has_cost(counted):
    certificates = Run(counted).certificates(12, symmetry=1e-3)
    assert (certificates.num_products, certificates.symmetry) == (12, 1e-3)
    assert certificates.threshold == pytest.approx(1000 * 2**-52)
    assert 0 < certificates.seconds < 60
    assert certificates.versions.startswith("hessdens ")
    assert f"torch {torch.__version__}" in certificates.versions
    assert len(certificates.warnings()) == 1


ESTIMATORS = (
    spectral_moments, lanczos_density, eigenpairs, chebyshev_moments, certified_counts, diagonal, exact_spectrum,
    multilevel_moments, multilevel_layer_traces, layer_traces, layer_moments, block_norms, block_densities,
)  # fmt: skip
NUMBERS = [
    (estimator, name)
    for estimator in ESTIMATORS
    for name in inspect.signature(estimator).parameters
    if name in WHOLE_NUMBERS | ACCURACIES
]


@pytest.mark.parametrize(("estimator", "name"), NUMBERS, ids=lambda part: getattr(part, "__name__", part))
def test_arguments_that_are_no_numbers_are_refused_first(estimator, name):
    """With what to write, and before any product is made."""
    H = hessian_operator(nn.Linear(3, 2), nn.CrossEntropyLoss(), [(torch.ones(6, 3), torch.arange(6) % 2)])
    H._matmat = lambda V: pytest.fail("a product")
    with pytest.raises(TypeError, match=rf"{name} must be a (whole )?number; got '10' of type str\. Write {name}=10\."):
        estimator(H, **{name: "10"})
    if name == "seed":
        with pytest.raises(TypeError, match="seed must be a whole number; got None"):
            estimator(H, seed=None)


def test_products_of_levels_need_not_be_whole():
    """They count products with some of the examples."""
    data = [(torch.linspace(-1, 1, 2_000).view(500, 4), torch.arange(500) % 2)]
    H = hessian_operator(nn.Linear(4, 2), nn.CrossEntropyLoss(), data)
    assert multilevel_moments(H, 1, max_products=20.5).trace > 0
