"""What levels estimate: forms, what a basis gives exactly, units of errors, and results, against dense matrices."""

import numpy as np
import pytest
import torch
from levels import LAYERS, setting, trace_setting

from hessdens import as_operator
from hessdens.multilevel.quantities import HALF_WIDTH, Change, MomentsOfAll
from hessdens.results import Certificates, LayerTraces, Moments, MultilevelMoments, MultilevelTraces

RNG = np.random.default_rng(0)
A = RNG.standard_normal((40, 40))
A = A + A.T
OPERATOR = as_operator(torch.from_numpy(A))
V = RNG.choice([-1.0, 1.0], (40, 3))
BASIS = np.linalg.qr(RNG.standard_normal((40, 5))).Q.T
LEFT = np.eye(40) - BASIS.T @ BASIS
B = LEFT @ A @ LEFT


def halves(diagonal):
    return np.array([diagonal[:15].sum(), diagonal[15:].sum()])


def test_moments():
    quantity = setting(2, 0).quantity
    W = A @ V
    forms = quantity.forms(OPERATOR, *(torch.from_numpy(part) for part in (V, W)))
    np.testing.assert_allclose(forms, np.stack([np.sum(V * W, axis=0), np.sum(W * W, axis=0)], axis=1) / 40)
    exact = [np.trace(np.linalg.matrix_power(A, k)) - np.trace(np.linalg.matrix_power(B, k)) for k in (1, 2)]
    known = quantity.known(OPERATOR, torch.from_numpy(BASIS), torch.from_numpy(BASIS @ A))
    np.testing.assert_allclose(known, np.array(exact) / 40)
    assert MomentsOfAll(1).known(OPERATOR, *(torch.from_numpy(part) for part in (BASIS, BASIS @ A))).shape == (1,)
    assert [MomentsOfAll(k).per_probe for k in (1, 2, 3)] == [1, 1, 2]
    assert [MomentsOfAll(k).deflates for k in (1, 2, 3)] == [True, True, False]
    assert quantity.scales(np.array([-2.0, 3.0])).tolist() == [2.0, 3.0]


def test_traces_of_layers():
    quantity = trace_setting(0).quantity
    W = A @ V
    forms = quantity.forms(OPERATOR, *(torch.from_numpy(part) for part in (V, W)))
    np.testing.assert_allclose(forms, np.stack([halves(column) for column in (V * W).T]))
    known = quantity.known(OPERATOR, torch.from_numpy(BASIS), torch.from_numpy(BASIS @ A))
    np.testing.assert_allclose(known, halves(np.diag(A) - np.diag(B)))
    assert (quantity.count, quantity.per_probe, quantity.deflates) == (2, 1, True)


def test_units_of_traces_are_what_is_allowed():
    values = np.array([-200.0, 0.1])
    assert trace_setting(0).quantity.scales(values).tolist() == [200.0, 2.0]
    assert trace_setting(0).quantity.tolerance is None
    asked = trace_setting(0, 0.1, 2.0).quantity
    assert asked.tolerance == 1.0
    np.testing.assert_allclose(asked.scales(values), np.array([20.0, 2.0]) / 2.2)


def test_results_are_of_their_kind():
    certificates = Certificates(1e-10, 4, 0.5, "")
    change = Change(RNG.standard_normal((6, 2)) + 5, 40, 8, 2, np.array([5.0, 5.0]), certificates)
    part, traces = (frame.quantity.change(change) for frame in (setting(2, 0), trace_setting(0)))
    assert (type(part), type(traces)) == (Moments, LayerTraces)
    assert (part.num_deflated, part.known.tolist(), traces.names) == (2, [5, 5], tuple(LAYERS))
    np.testing.assert_array_equal(part.samples, traces.samples)
    whole, both = (f.quantity.total([x], (10,), 2) for f, x in ((setting(2, 0), part), (trace_setting(0), traces)))
    assert (type(whole), type(both), both.num_deflated) == (MultilevelMoments, MultilevelTraces, 2)
    errors = np.max(part.standard_errors / np.abs(part.values))
    assert setting(2, 0, 0.01).quantity.excess(whole) == pytest.approx(HALF_WIDTH * errors / 0.01)
    widths = np.max(both.half_widths() / np.abs(both.values))
    assert trace_setting(0, 0.01).quantity.excess(both) == pytest.approx(widths / 0.01)
    assert setting(2, 0).quantity.excess(whole) == trace_setting(0).quantity.excess(both) == 0


def test_the_first_level_has_its_share_of_the_accuracy(monkeypatch):
    asked = []
    for frame, name in ((setting(2, 0, 0.1), "spectral_moments"), (trace_setting(0, 0.1, 4.0), "layer_traces")):
        monkeypatch.setattr(f"hessdens.multilevel.quantities.{name}", lambda *a, **options: asked.append(options))
        frame.quantity.first(OPERATOR, 30, seed=1)
    assert asked[0] == {"max_products": 30, "seed": 1, "rtol": pytest.approx(0.1 * 0.2**0.5)}
    rtol, atol = (pytest.approx(amount * 0.4**0.5) for amount in (0.1, 4))
    assert asked[1] == {"max_products": 30, "seed": 1, "rtol": rtol, "atol": atol}
