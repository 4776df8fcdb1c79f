"""Runs: training, measurements, the store, and runs that are killed or diverge."""

import json
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
import torch
from skip_paper.data.images import load_digits, prepare
from skip_paper.measures.spectra import CDF_POINTS, SpectrumSpec, drawn_examples, summarised
from skip_paper.networks.skip_network import SkipNetwork
from skip_paper.networks.specification import NetworkSpec
from skip_paper.networks.training import orders, train
from skip_paper.runs.compute import Computer, compute_group, num_parameters
from skip_paper.runs.finished import collected
from skip_paper.runs.specification import RunSpec
from skip_paper.runs.store import RunStore

from hessdens import Spectrum

CPU = torch.device("cpu")
NETWORK = NetworkSpec("residual", 3, 6)
SPECTRUM = SpectrumSpec((0, 5), 50, probes=4, products=30, exact=True)
SPEC = RunSpec("digits", 100, None, "centred", NETWORK, 0, (0, 2, 5), SPECTRUM)
FINISHED = {"value": np.array(1.0), "diverged": np.zeros(3, bool)}


@pytest.fixture(scope="module")
def examples():
    return prepare(load_digits(), num_train=100)


def computed(spec, examples, folder):
    store = RunStore(folder)
    compute_group([spec], examples, 10, CPU, store)
    return store.find(spec)


@pytest.fixture(scope="module")
def arrays(examples, tmp_path_factory):
    return computed(SPEC, examples, tmp_path_factory.mktemp("runs"))


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_run_is_decided_by_its_specification(examples, arrays, tmp_path):
    torch.manual_seed(99)
    assert_same(computed(SPEC, examples, tmp_path), arrays)
    assert not arrays["diverged"].any()
    assert arrays["eigenvalues"].shape == (2, 64 * 6 + 6 + 2 * 42 + 70)
    assert arrays["gradient_norm"].shape == (3, 3)


def test_stored_moments_agree_with_the_exact_eigenvalues(arrays):
    exact = np.mean(arrays["eigenvalues"] ** 2, axis=1)
    estimate, error = arrays["samples"][:, :, 1].mean(axis=1), arrays["samples"][:, :, 1].std(axis=1, ddof=1) / 2
    assert np.all(np.abs(estimate - exact) < 6 * error)


@pytest.mark.parametrize("time", [0, 1])
def test_numbers_of_the_spectrum_are_those_of_its_eigenvalues(arrays, time):
    values = arrays["eigenvalues"][time].astype(float)
    found = {name: arrays[f"exact {name}"][time] for name in summarised(Spectrum([0.0, 1.0]))}
    sizes = np.abs(values)
    for name, expected in {
        "degenerate": np.mean(sizes < 0.1),
        "negative": np.mean(values <= -0.1),
        "relative": np.mean(sizes < 1e-3 * sizes.max()),
    }.items():
        np.testing.assert_allclose(found[name], expected, atol=1.1 / len(values), err_msg=name)
    assert found["participation"] == pytest.approx(sizes.sum() ** 2 / len(values) / (values**2).sum(), rel=1e-4)
    np.testing.assert_allclose(found["extremes"], values[[0, -1]], rtol=1e-6)
    np.testing.assert_allclose(found["cdf"], [np.mean(values <= x) for x in CDF_POINTS], atol=2.1 / len(values))


def test_density_holds_the_exact_fractions(arrays):
    for exact, (value, low, high) in zip(arrays["exact degenerate"][:, 0], arrays["lanczos degenerate"], strict=True):
        assert low <= value <= high
        assert low - 0.02 <= exact <= high + 0.02


def test_spectra_are_of_examples_that_the_seed_draws():
    first, again, other = (drawn_examples(1000, 50, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert len(set(first)) == 50
    assert first == sorted(first)
    assert first[-1] > 900


def test_exact_spectra_do_not_disturb_the_training(examples, arrays, tmp_path):
    plain = computed(replace(SPEC, spectrum=None), examples, tmp_path)
    for name, values in plain.items():
        np.testing.assert_array_equal(values, arrays[name])


def test_every_example_is_used_once_an_epoch():
    seen = []

    class Spy(torch.nn.Linear):
        def forward(self, x):
            seen.extend(x[:, 0].tolist())
            return super().forward(x)

    inputs = torch.arange(12.0)[:, None]
    for _ in train(Spy(1, 2), inputs, torch.zeros(12, dtype=torch.int64), measure_at=(3, 6), seed=0, batch_size=4):
        pass
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]
    first, second = (next(orders(seed, 12)).tolist() for seed in (0, 1))
    assert seen[:12] == first != second


def test_divergence_is_recorded_and_leaves_the_others_alone(examples, tmp_path, monkeypatch):
    build = NetworkSpec.build

    def broken(self, num_inputs, num_classes, seed):
        network = build(self, num_inputs, num_classes, seed)
        if seed == 1:
            with torch.no_grad():
                network.hidden[0].weight[0, 0] = torch.nan
        return network

    spec = replace(SPEC, spectrum=replace(SPECTRUM, exact=False))
    alone = computed(spec, examples, tmp_path / "alone")
    monkeypatch.setattr(NetworkSpec, "build", broken)
    store = RunStore(tmp_path)
    specs = [spec, replace(spec, seed=1)]
    compute_group(specs, examples, 10, CPU, store)
    whole, diverged = (store.find(s) for s in specs)
    assert diverged["diverged"].all()
    assert np.isnan(diverged["samples"]).all()
    assert np.isnan(diverged["train_accuracy"]).all()
    np.testing.assert_allclose(whole["samples"], alone["samples"], rtol=1e-2)


def test_training_reports_losses_that_are_not_finite():
    network = SkipNetwork("plain", 2, 2, depth=1, width=2, seed=0)
    pauses = train(network, torch.full((4, 2), torch.nan), torch.zeros(4, dtype=torch.int64), measure_at=(0, 1), seed=0)
    assert list(pauses) == [True, False]


def test_store_survives_damage(tmp_path, capsys):
    store = RunStore(tmp_path / "runs")
    store.save(SPEC, FINISHED)
    other = replace(SPEC, seed=1)
    assert store.find(SPEC)["value"] == 1
    assert store.find(other) is None
    path = tmp_path / "runs" / f"{SPEC.key()}.npz"
    path.write_bytes(path.read_bytes()[:100])
    assert store.find(SPEC) is None
    assert "Repeating a run, because its file is damaged" in capsys.readouterr().err
    assert not store.has(SPEC)
    for store_it, find in ((store.save, store.find), (store.save_partial, store.find_partial)):
        store_it(SPEC, {"value": np.array(1.0), "next": np.array(0.5)})
        assert find(SPEC) is None
        assert "must hold an array" in (err := capsys.readouterr().err) or "must have shape" in err
    path.mkdir()
    with pytest.raises(ValueError, match=f"got {path}, which is a folder"):
        store.find(SPEC)
    assert path.is_dir()


def test_runs_of_a_newer_version_stay(tmp_path):
    store = RunStore(tmp_path)
    store.save(SPEC, FINISHED)
    store.save_partial(SPEC, {"next": np.array(1), "result diverged": np.zeros(3, bool)})
    for path, find in ((store._path(SPEC), store.find), (store._partial(SPEC), store.find_partial)):
        with np.load(path) as archive:
            np.savez(path, **{**archive, "hessdens_format": 99})
        content = path.read_bytes()
        with pytest.raises(ValueError, match=rf"{path} has format 99, .* Take another folder with --results"):
            find(SPEC)
        assert path.read_bytes() == content


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000, '{"a":' * 100_000, "{}"])
def test_a_damaged_format_is_told(content, tmp_path):
    (tmp_path / "format.json").write_text(content)
    with pytest.raises(ValueError, match=r"results folder must .*format\.json|has format none"):
        RunStore(tmp_path)


def test_key_depends_on_all_of_the_specification():
    changed = [
        replace(SPEC, data="other"), replace(SPEC, seed=1), replace(SPEC, network=replace(NETWORK, malicious=True)),
        replace(SPEC, spectrum=None), replace(SPEC, spectrum=replace(SPECTRUM, probes=5)),
        replace(SPEC, scaling="unit"),
    ]  # fmt: skip
    assert len({spec.key() for spec in [SPEC, *changed]}) == 7
    assert replace(SPEC).key() == SPEC.key()


def test_unwritable_results(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"results folder must be writable; .*file/runs is not"):
        RunStore(tmp_path / "file" / "runs")


def test_results_of_another_version(tmp_path):
    RunStore(tmp_path)
    (tmp_path / "format.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ValueError, match=r"written by this version \(format 3\); .* has format 99. Take another"):
        RunStore(tmp_path)
    (tmp_path / "format.json").write_text("{")
    with pytest.raises(ValueError, match="must say which program wrote it, or be another one"):
        RunStore(tmp_path)


def _hold(folder, held, release):
    with RunStore(folder).claimed([SPEC]) as mine:
        held.put(len(mine))
        release.get()


def test_a_run_that_another_process_computes_is_left_to_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Queue(), context.Queue()
    process = context.Process(target=_hold, args=(tmp_path, held, release))
    process.start()
    assert held.get(timeout=60) == 1
    store = RunStore(tmp_path)
    with store.claimed([SPEC, replace(SPEC, seed=1)]) as mine:
        assert [spec.seed for spec in mine] == [1]
    process.kill()  # its lock goes with it
    process.join()
    with store.claimed([SPEC]) as mine:
        assert mine == [SPEC]
    store.save(SPEC, FINISHED)
    with store.claimed([SPEC]) as mine:
        assert mine == []


def test_runs_that_are_committed_are_not_repeated(tmp_path, monkeypatch):
    other = replace(SPEC, seed=1)
    committed = collected([(SPEC, FINISHED)], {}, {})
    store = RunStore(tmp_path, committed)
    assert [store.has(spec) for spec in (SPEC, other)] == [True, False]
    assert store.find(SPEC)["value"] == 1
    assert store.find(other) is None
    computed = []

    def compute(specs, *_):
        computed.extend(specs)
        for spec in specs:
            store.save(spec, {**FINISHED, "value": np.array(2.0)})

    monkeypatch.setattr("skip_paper.runs.compute.compute_group", compute)
    assert Computer(store, CPU, progress=False).compute([SPEC, other], {SPEC.data: load_digits()}, "") == 1
    assert computed == [other]
    store.save(SPEC, {**FINISHED, "value": np.array(3.0)})
    assert store.find(SPEC)["value"] == 3, "a run of this machine is whole"


class Killed(BaseException):
    """Stands for a signal that ends the program."""


@pytest.mark.parametrize("state_written", [1, 2, 3, 5, 6])
def test_killed_runs_go_on_where_they_were(examples, tmp_path, monkeypatch, state_written):
    """Two runs of three measurements: states after the first two of both, then both without a step to go."""
    monkeypatch.setattr("skip_paper.runs.compute.SECONDS_BETWEEN_STATES", -1.0)
    specs = [replace(SPEC, seed=seed, spectrum=replace(SPECTRUM, exact=False)) for seed in (0, 1)]
    whole = RunStore(tmp_path / "whole")
    compute_group(specs, examples, 10, CPU, whole)
    save, written = RunStore.save_partial, []

    def kill(self, spec, content):
        save(self, spec, content)
        written.append(int(content["next"]))
        if len(written) == state_written:
            raise Killed

    monkeypatch.setattr(RunStore, "save_partial", kill)
    store = RunStore(tmp_path / "killed")
    with pytest.raises(Killed):
        compute_group(specs, examples, 10, CPU, store)
    assert written == [1, 1, 2, 2, 3, 3][:state_written]
    monkeypatch.setattr(RunStore, "save_partial", save)
    compute_group(specs, examples, 10, CPU, RunStore(tmp_path / "killed"))
    for spec in specs:
        assert_same(store.find(spec), whole.find(spec))
        assert store.find_partial(spec) is None


def test_kill_between_two_runs_of_a_group(tmp_path, monkeypatch):
    """The second run has no step to go, and is written without training."""
    images = load_digits()
    specs = [
        replace(SPEC, data=images.fingerprint, seed=seed, spectrum=replace(SPECTRUM, exact=False)) for seed in (0, 1)
    ]
    save = RunStore.save

    def kill(self, spec, arrays):
        if spec.seed == 1:
            raise Killed
        save(self, spec, arrays)

    monkeypatch.setattr(RunStore, "save", kill)
    store = RunStore(tmp_path)
    with pytest.raises(Killed):
        Computer(store, CPU, progress=False).compute(specs, {specs[0].data: images}, "")
    monkeypatch.setattr(RunStore, "save", save)
    monkeypatch.setattr(
        "skip_paper.networks.batched_training.BatchedTraining._step", lambda *_: pytest.fail("trained again")
    )
    assert Computer(store, CPU, progress=False).compute(specs, {specs[0].data: images}, "") == 1
    assert all(store.has(spec) for spec in specs)


def test_groups_share_all_but_seeds_and_biases_and_fit_the_device(tmp_path):
    computer = Computer(RunStore(tmp_path), CPU, progress=False)
    plain = replace(SPEC, network=NetworkSpec("plain", 3, 128))
    biased = replace(plain, network=replace(plain.network, bias_strength=0.1, bias_mean=1.0))
    seeds = [replace(spec, seed=seed) for seed in range(4) for spec in (plain, biased)]
    groups = computer._groups([*seeds, SPEC])
    assert [len(group) for group in groups] == [5, 3, 1]
    assert groups[2] == [SPEC]


def test_groups_are_halved_where_memory_does_not_hold_them(tmp_path, monkeypatch, capsys):
    sizes = []

    def tight(specs, *_):
        if len(specs) > 2:
            raise torch.cuda.OutOfMemoryError
        sizes.append(len(specs))
        for spec in specs:
            store.save(spec, {"diverged": np.zeros(3)})

    monkeypatch.setattr("skip_paper.runs.compute.compute_group", tight)
    images = load_digits()
    store = RunStore(tmp_path)
    specs = [replace(SPEC, data=images.fingerprint, seed=seed) for seed in range(5)]
    Computer(store, CPU, progress=False).compute(specs, {specs[0].data: images}, "")
    assert sum(sizes) == 5
    assert "The device does not hold 5 networks at once: 2 from here on" in capsys.readouterr().err
    monkeypatch.setattr(
        "skip_paper.runs.compute.compute_group", lambda *_: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError)
    )
    with pytest.raises(MemoryError, match=r"memory must hold a network of .*; it does not. Use --device cpu"):
        Computer(store, CPU, progress=False).compute([replace(specs[0], seed=9)], {specs[0].data: images}, "")


def test_number_of_parameters():
    spec = replace(SPEC, network=NetworkSpec("plain", 20, 128))
    built = spec.network.build(3072, 20, 0)
    assert num_parameters(spec) == pytest.approx(sum(p.numel() for p in built.parameters()), rel=0.01)
