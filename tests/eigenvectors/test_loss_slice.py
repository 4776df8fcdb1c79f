"""Losses along directions: exact, on the same data, and the model untouched."""

from types import MappingProxyType

import numpy as np
import pytest
import torch
from torch import nn
from users_state import changes, state

from hessdens import as_operator, eigenpairs, hessian_operator
from hessdens.eigenvectors import loss_slice


def problem(dtype=torch.float64, units=nn.Tanh):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), units(), nn.Linear(6, 3)).to(dtype)
    inputs = torch.randn(30, 5, dtype=dtype)
    return model, nn.CrossEntropyLoss(), [(inputs[:20], torch.arange(20) % 3), (inputs[20:], torch.arange(10) % 3)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_are_those_of_moved_models(dtype):
    model, loss_fn, data = problem(dtype)
    H = hessian_operator(model, loss_fn, data, weight_decay=0.01)
    direction = 2 * torch.randn(H.size, dtype=dtype)
    before = state(model)
    curve = loss_slice(H, direction, offsets=[-0.5, 0.0, 0.25])
    assert changes(before, state(model)) == []
    for offset, loss in zip(curve.offsets, curve.losses[:, 0], strict=True):
        moved = problem(dtype)[0]
        theta = nn.utils.parameters_to_vector(moved.parameters()).detach() + offset * direction
        nn.utils.vector_to_parameters(theta, moved.parameters())
        inputs, targets = (torch.cat(parts) for parts in zip(*data, strict=True))
        with torch.no_grad():
            expected = float(loss_fn(moved(inputs), targets) + 0.005 * theta.square().sum())
        assert loss == pytest.approx(expected, rel=100 * torch.finfo(dtype).eps)
    assert curve.slopes[0] == pytest.approx(float(H.gradient() @ direction), rel=1e-5)
    assert curve.curvatures[0, 0] == pytest.approx(float(direction @ (H @ direction)), rel=1e-5)
    assert curve.lengths[0] == pytest.approx(float(direction.norm()), rel=1e-6)


def test_the_prediction_is_right_to_third_order():
    H = hessian_operator(*problem())
    direction = eigenpairs(H, 1).vector(0)
    errors = []
    for size in (1e-2, 2e-2):
        curve = loss_slice(H, direction, offsets=[-size, size])
        errors.append(np.abs(curve.losses - curve.predictions()).max())
    assert 6 < errors[1] / errors[0] < 10


def test_two_directions_and_their_offsets():
    H = hessian_operator(*problem())
    pairs = eigenpairs(H, 2, rtol=1e-4)
    plane = loss_slice(H, pairs.vector(0), H.unflatten(pairs.vector(1)))
    assert plane.losses.shape == (11, 11)
    np.testing.assert_allclose(np.diag(plane.curvatures), pairs.values, rtol=1e-4)
    assert abs(plane.curvatures[0, 1]) < 1e-3
    line = loss_slice(H, pairs.vector(1), offsets=plane.offsets)
    np.testing.assert_allclose(plane.losses[5], line.losses[:, 0], rtol=1e-12)
    assert plane.offsets[-1] == pytest.approx(min((2 * plane.loss / pairs.values[0]) ** 0.5, plane.offsets[-1]))


def test_losses_are_finite_where_squares_of_parameters_are_not():
    model = nn.Linear(1, 1, bias=False).double()
    H = hessian_operator(model, nn.L1Loss(), [(torch.ones(4, 1, dtype=torch.float64),) * 2])
    assert loss_slice(H, torch.ones(1), offsets=[1e200]).losses[0, 0] == pytest.approx(1e200)


def test_losses_that_are_not_finite_are_kept():
    class Root(nn.Module):
        def forward(self, x):
            return x.sqrt()

    model = nn.Sequential(nn.Linear(1, 1, bias=False), Root()).double()
    nn.init.ones_(model[0].weight)
    H = hessian_operator(model, nn.MSELoss(), [(torch.ones(4, 1, dtype=torch.float64),) * 2])
    curve = loss_slice(H, torch.ones(1), offsets=[-2.0, 0.0, 1.0])
    assert np.isnan(curve.losses[:, 0]).tolist() == [True, False, False]


def test_what_cannot_be_sliced():
    H = hessian_operator(*problem())
    one = torch.ones(H.size)
    with pytest.raises(TypeError, match=r"H must be from hessian_operator .*got a matrix or a function"):
        loss_slice(as_operator(np.eye(3)), one)
    for directions in ((), (one, one, one)):
        with pytest.raises(TypeError, match=f"along one or two directions; got {len(directions)}"):
            loss_slice(H, *directions)
    with pytest.raises(TypeError, match=r"A direction must be a tensor or an array; got Eigenpairs. Write pairs.vec"):
        loss_slice(H, eigenpairs(np.eye(57), 1))
    for wrong in (1j * one, H.unflatten(one) | {"0.bias": 1j * torch.ones(6)}):
        with pytest.raises(TypeError, match=r"A direction must have real numbers; got torch\.complex"):
            loss_slice(H, wrong)
    by_parameter = MappingProxyType(H.unflatten(one))
    np.testing.assert_array_equal(loss_slice(H, by_parameter).losses, loss_slice(H, one).losses)
    for directions, options, message in [
        ((torch.ones(3),), {}, r"A direction must have shape \(57,\)"),
        ((0 * one,), {}, "A direction must not be zero"),
        ((torch.full((57,), torch.inf),), {}, "A direction must be finite"),
        (
            (1e-200 * one.double(),),
            {},
            r"A direction must have a length from 1e-75 to 1e\+75, .*; got 0\. Divide it by",
        ),
        ((one, 1e80 * one.double()), {}, r"a length from .*; got 7\.55e\+80\. Divide it"),
        ((one, -2 * one), {}, "Two directions must not be parallel"),
        ((one,), {"offsets": [1.0, 0.0]}, r"offsets must be finite and ascending, shape \(n,\)"),
        ((one,), {"offsets": []}, "offsets must be finite and ascending"),
    ]:
        with pytest.raises(ValueError, match=message):
            loss_slice(H, *directions, **options)


def test_progress_counts_points(capsys):
    loss_slice(hessian_operator(*problem()), torch.ones(57), offsets=[0.0, 1.0], progress=True)
    assert "2/2 [" in capsys.readouterr().err
