"""Runs that are killed go on and end with the same numbers; checkpoints of other runs are told apart."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import EIGENVALUES, RUNS, Counted, assert_equal
from torch import nn

from hessdens import (
    NonFiniteError,
    Plan,
    as_operator,
    ggn_operator,
    hessian_operator,
    lanczos_density,
    spectral_moments,
)
from hessdens.estimators import chebyshev_moments
from hessdens.estimators.checkpoint import folder_within


def script(*arguments):
    command = [sys.executable, Path(__file__).parents[1] / "runs.py", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stdout


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("run", RUNS)
def test_killed_runs_end_with_the_same_numbers(run, processes, tmp_path):
    said = script(run, tmp_path, "--kills", 10, "--processes", processes)
    assert re.match(rf"10 kills of {processes} processes in \d+ folders: all numbers equal", said)


def test_processes_that_begin_together_in_a_new_folder(tmp_path):
    """Those of one run all end well. Of different runs one has the folder, and the others are told."""
    rounds = script("beginnings", tmp_path, "--kills", 24, "--processes", 3).splitlines()
    assert len(rounds) == 24
    assert set(rounds[1::2]) == {"[0, 0, 0] [0, 0, 0]"}
    assert set(rounds[::2]) <= {f"[0, 1, 2] {statuses}" for statuses in ([0, 2, 2], [2, 0, 2], [2, 2, 0])}


@pytest.mark.parametrize("run", RUNS)
def test_finished_runs_are_not_repeated(run, tmp_path):
    counted = Counted()
    first = RUNS[run](counted.operator, tmp_path / "kept")
    assert counted.products > 50
    counted.products = 0
    second = RUNS[run](counted.operator, tmp_path / "kept")
    assert counted.products == 2  # it looks whether the operator is the same, and whether products repeat themselves
    assert_equal(first, second)


def test_more_probes_extend_fewer(tmp_path):
    counted = Counted()
    options = {"method": "skilling", "checkpoint": tmp_path}
    spectral_moments(counted.operator, num_probes=16, **options)
    counted.products = 0
    more = spectral_moments(counted.operator, num_probes=24, **options)
    assert counted.products == 8 * 2 + 2
    assert_equal(more, spectral_moments(Counted().operator, method="skilling", num_probes=24))


def test_more_moments_extend_fewer(tmp_path):
    counted = Counted(1e30 * EIGENVALUES)  # vectors are scaled on the way
    options = {"method": "skilling", "num_probes": 16}
    spectral_moments(counted.operator, 3, checkpoint=tmp_path, **options)
    for num_moments, products in ((4, 0), (7, 16 * 2), (2, 0), (8, 0)):
        counted.products = 0
        found = spectral_moments(counted.operator, num_moments, checkpoint=tmp_path, **options)
        assert counted.products == products + 2
        assert_equal(found, spectral_moments(Counted(1e30 * EIGENVALUES).operator, num_moments, **options))
        assert found.certificates.symmetry < found.certificates.threshold


def test_more_chebyshev_moments_extend_fewer(tmp_path):
    counted = Counted()
    chebyshev_moments(counted.operator, 5, num_probes=8, checkpoint=tmp_path)
    for num_moments, products in ((6, 0), (9, 8 * 2), (1, 0)):
        counted.products = 0
        found = chebyshev_moments(counted.operator, num_moments, num_probes=8, checkpoint=tmp_path)
        assert counted.products == products + 2
        assert_equal(found, chebyshev_moments(Counted().operator, num_moments, num_probes=8))
    with pytest.raises(ValueError, match=r"support is 'found' there and '\(-1.0, 40.0\)' here"):
        chebyshev_moments(counted.operator, support=(-1, 40), checkpoint=tmp_path)


def test_more_steps_extend_fewer(tmp_path):
    counted = Counted()
    lanczos_density(counted.operator, num_probes=4, num_steps=5, checkpoint=tmp_path)
    counted.products = 0
    more = lanczos_density(counted.operator, num_probes=4, num_steps=9, checkpoint=tmp_path)
    assert counted.products == 4 * 4 + 2
    assert_equal(more, lanczos_density(Counted().operator, num_probes=4, num_steps=9))


def test_a_larger_budget_goes_on_with_the_probes_that_are_there(tmp_path):
    counted = Counted()
    fewer = lanczos_density(counted.operator, max_products=40, checkpoint=tmp_path)
    assert (fewer.num_steps, fewer.num_products) == (10, 40)
    for options, steps, more in (({"max_products": 200}, 50, 40), ({"num_steps": 52}, 52, 2), ({}, 25, 0)):
        counted.products = 0
        found = lanczos_density(counted.operator, checkpoint=tmp_path, **options)
        assert counted.products == 4 * more + 2
        assert_equal(found, lanczos_density(Counted().operator, num_probes=4, num_steps=steps))


def network(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    data = [(torch.randn(6, 5, dtype=torch.float64), torch.randint(3, (6,))) for _ in range(3)]
    return model, data


PLAN = Plan("feedforward", 6, 8)


def moments_of(model, data, folder, *, loss=None, **options):
    operator = hessian_operator(model, loss or nn.CrossEntropyLoss(), data, plan=PLAN)
    return spectral_moments(operator, num_probes=6, checkpoint=folder, **options)


def test_models_resume(tmp_path):
    model, data = network()
    first = moments_of(model, data, tmp_path)
    assert_equal(moments_of(model, data, tmp_path), first)
    assert_equal(moments_of(model, data, None), first)


def test_what_differs_is_named(tmp_path):
    model, data = network()
    moments_of(model, data, tmp_path)
    other_data = [*data[:2], (data[2][0] + 1e-3, data[2][1])]
    cases = [
        ("seed is 0 there and 1 here", lambda: moments_of(model, data, tmp_path, seed=1)),
        (
            "method is 'deflated' there and 'skilling' here",
            lambda: moments_of(model, data, tmp_path, method="skilling"),
        ),
        (
            "loss is 'CrossEntropyLoss' there and 'MSELoss' here",
            lambda: moments_of(*squared(), tmp_path, loss=nn.MSELoss()),
        ),
        (r"data is '\w{16}' there and '\w{16}' here", lambda: moments_of(model, other_data, tmp_path)),
        ("batches is 3 there and 2 here", lambda: moments_of(model, data[:2], tmp_path)),
        (r"parameters is '\w{16}' there", lambda: moments_of(network(1)[0], data, tmp_path)),
        ("function is 'spectral_moments' there", lambda: lanczos_density(Counted().operator, checkpoint=tmp_path)),
    ]
    for message, run in cases:
        with pytest.raises(ValueError, match=rf"checkpoint must be of the same run; in .*{message}"):
            run()


def cases():
    """Return what a run is made of, by name, and what is said when its last bit is another one."""
    model, data = network()
    linear = nn.Linear(5, 3).double()

    def of(model=model, data=data, loss=None, make=hessian_operator, **options):
        return make(model, loss or nn.CrossEntropyLoss(), data, plan=Plan("reverse-over-reverse"), **options)

    def one_bit(tensor, place):
        other = tensor.clone()
        other[place] = torch.nextafter(other[place], torch.tensor(torch.inf, dtype=other.dtype))
        return other

    def changed(model, name, place):
        model = copy.deepcopy(model)
        state = model.state_dict()
        model.load_state_dict({**state, name: one_bit(state[name], place)})
        return model

    def sloped(slope):
        return nn.Sequential(network()[0][0], nn.LeakyReLU(slope), network()[0][2])

    normed = nn.Sequential(nn.BatchNorm1d(5), *network()[0]).double().eval()
    (inputs, targets), *rest = data
    weights = torch.ones(3, dtype=torch.float64)
    matrix = np.diag(EIGENVALUES)
    other_matrix = np.diag([*EIGENVALUES[:-1], np.nextafter(EIGENVALUES[-1], 0)])
    return {
        "parameters": (of, lambda: of(changed(model, "0.weight", (2, 3)))),
        "buffers": (lambda: of(normed), lambda: of(changed(normed, "0.running_mean", 1))),
        "data": (of, lambda: of(data=[(one_bit(inputs, (5, 0)), targets), *rest])),
        "settings of the model": (lambda: of(sloped(0.1)), lambda: of(sloped(np.nextafter(0.1, 1)))),
        "settings of the loss": (
            lambda: of(loss=nn.CrossEntropyLoss(weights)),
            lambda: of(loss=nn.CrossEntropyLoss(one_bit(weights, 1))),
        ),
        "matrix": (lambda: of(linear), lambda: of(linear, make=ggn_operator)),
        "factor": (lambda: 0.1 * of(), lambda: np.nextafter(0.1, 1) * of()),
        "dtype": (of, lambda: of(copy.deepcopy(model).float(), [(x.float(), y) for x, y in data])),
        "parameter names": (lambda: of(parameters="0.*"), lambda: of(parameters="2.*")),
        "entries": (lambda: as_operator(matrix), lambda: as_operator(other_matrix)),
        "bits of a product": (lambda: Counted().operator, lambda: Counted(np.diagonal(other_matrix).copy()).operator),
    }


@pytest.mark.parametrize("fact", cases())
def test_another_last_bit_is_another_run(fact, tmp_path):
    one, other = cases()[fact]

    def run(operator):
        return spectral_moments(operator, 2, method="skilling", num_probes=2, checkpoint=tmp_path)

    first = run(one())
    assert_equal(run(one()), first)  # made anew
    with pytest.raises(ValueError, match=rf"checkpoint must be of the same run; in .*\b{fact} is .* there and .* here"):
        run(other())


def test_bits_that_other_threads_change_are_explained(tmp_path):
    one, other = cases()["bits of a product"]
    lanczos_density(one(), num_steps=4, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"A function is known by the bits of its products, which the number of threa"):
        lanczos_density(other(), num_steps=4, checkpoint=tmp_path)


def test_what_changes_rounding_only_is_the_same_run(tmp_path):
    model, data = network()
    many = [(x.repeat(40, 1), y.repeat(40)) for x, y in data]
    folder = tmp_path / "kept"
    first = moments_of(model, many, folder)
    others = [
        lambda: moments_of(copy.deepcopy(model), many, folder),
        lambda: moments_of(model, many[::-1], folder),
        lambda: spectral_moments(hessian_operator(model, nn.CrossEntropyLoss(), many), num_probes=6, checkpoint=folder),
        lambda: spectral_moments(
            hessian_operator(model, nn.CrossEntropyLoss(), many, plan=Plan("reverse-over-reverse", 7)),
            num_probes=6,
            checkpoint=folder,
        ),
    ]
    for other in others:
        assert_equal(other(), first)


def squared():
    model, data = network()
    return model, [(inputs, torch.zeros(6, 3, dtype=torch.float64)) for inputs, _ in data]


def test_another_operator_is_recognised_by_a_product(tmp_path):
    lanczos_density(Counted().operator, num_steps=4, checkpoint=tmp_path)
    other = Counted(EIGENVALUES * 1.001).operator
    with pytest.raises(ValueError, match=r"a product is .* there.*make the run the same.$"):
        lanczos_density(other, num_steps=4, checkpoint=tmp_path)


def test_another_version_is_refused(tmp_path):
    lanczos_density(Counted().operator, num_steps=4, checkpoint=tmp_path)
    header = tmp_path / "run.json"
    header.write_text(re.sub(r'("hessdens version": )"[^"]*"', r'\1"0.0.1"', header.read_text()))
    with pytest.raises(ValueError, match=r"hessdens version is '0.0.1' there and '0.1.0' here"):
        lanczos_density(Counted().operator, num_steps=4, checkpoint=tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no archive at all"])
def test_damaged_blocks_are_named(tmp_path, content):
    lanczos_density(Counted().operator, num_steps=4, checkpoint=tmp_path)
    block = next(tmp_path.glob("product-*.npz"))
    block.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{block.name}.* Delete that file to compute the block again"):
        lanczos_density(Counted().operator, num_steps=4, checkpoint=tmp_path)


def test_foreign_and_damaged_folders(tmp_path):
    operator = Counted().operator
    (tmp_path / "photo.png").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"has no run.json but 'photo.png'. Give another folder"):
        lanczos_density(operator, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="checkpoint must be a folder; got the file"):
        lanczos_density(operator, checkpoint=tmp_path / "photo.png")
    (tmp_path / "photo.png").unlink()
    for content in ("{", "[1]"):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(ValueError, match=r"must be a JSON object; got .*run.json, which cannot be read"):
            lanczos_density(operator, checkpoint=tmp_path)
    assert (tmp_path / "run.json").read_text() == "[1]"


def test_products_that_are_not_finite_are_not_kept(tmp_path):
    calls = []

    def multiply(V):
        calls.append(V.shape[1])
        return V * (float("nan") if calls.count(2) == bad else 2.0 + torch.arange(9.0, dtype=torch.float64)[:, None])

    bad = -1
    operator = as_operator(multiply, size=9, dtype=torch.float64)
    bad = calls.count(2) + 2
    with pytest.raises(NonFiniteError, match="step 2 is not"):
        lanczos_density(operator, num_probes=2, num_steps=4, checkpoint=tmp_path)
    kept = [np.load(path)["products"] for path in tmp_path.glob("product-*.npz")]
    assert len(kept) == 1
    assert np.isfinite(kept).all()
    bad = -1
    again = lanczos_density(operator, num_probes=2, num_steps=4, checkpoint=tmp_path)
    assert_equal(again, lanczos_density(operator, num_probes=2, num_steps=4))


def test_operators_that_give_nan_are_refused(tmp_path):
    operator = as_operator(lambda V: V * (float("nan") if V.shape[1] == 1 else 1.0), size=4, dtype=torch.float64)
    with pytest.raises(NonFiniteError, match="one with a random vector is not"):
        lanczos_density(operator, checkpoint=tmp_path)


def test_folders_are_made_and_their_headers_can_be_read(tmp_path):
    lanczos_density(Counted().operator, num_steps=4, checkpoint=tmp_path / "runs" / "first")
    header = (tmp_path / "runs" / "first" / "run.json").read_text()
    assert json.loads(header)["function"] == "lanczos_density"
    assert len(header.splitlines()) > 5


def test_several_runs_have_a_folder_each_whatever_their_names(tmp_path):
    names = ["", ".", "..", "a/b", "a", "A%2F"]
    folders = [folder_within(tmp_path, name) for name in names]
    assert len(set(folders)) == len(names)
    assert {folder.resolve().parent for folder in folders} == {tmp_path.resolve()}
    assert folder_within(None, "a") is None
