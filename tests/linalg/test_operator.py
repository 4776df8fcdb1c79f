"""Operators: sums, scalings, shifts, SciPy; an operator around another has all that the other knows of itself."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hessdens import as_operator, hessian_operator
from hessdens.eigenvectors import eigenpairs
from hessdens.linalg.operator import FunctionOperator, Operator, Wrapped
from hessdens.linalg.team import Team
from hessdens.testing import rotated, symmetric_matrices

MATRIX = rotated(np.linspace(-2, 5, 12), np.random.default_rng(0))
GENERATOR = torch.Generator().manual_seed(0)


class Tripled(Wrapped):
    def _matmat(self, V):
        return 3 * self._operator.matmat(V)


def test_wrapped_operators_hand_on_all_but_products():
    inner = as_operator(MATRIX, dtype=torch.float32)
    inner.team = Team()
    inner.origin = lambda: {"model": "MLP"}
    inner.state_checksum = lambda: 2.5
    operator = Tripled(inner)
    assert (operator.size, operator.dtype, operator.device) == (12, torch.float32, inner.device)
    assert operator.team is inner.team
    assert (operator.origin(), operator.state_checksum(), operator.parameter_sizes) == ({"model": "MLP"}, 2.5, {})
    assert repr(operator) == "Tripled(size=12, dtype=torch.float32, device=cpu)"
    torch.testing.assert_close(operator @ torch.ones(12), 3 * (inner @ torch.ones(12)))


def test_shifted_and_scaled_operators_know_what_they_were_made_of():
    model = nn.Linear(2, 2)
    H = hessian_operator(model, nn.CrossEntropyLoss(), [(torch.ones(3, 2), torch.tensor([0, 1, 1]))])
    shifted = 2 * H + 0.5 * H.identity()
    assert shifted.parameter_sizes == (0.5 * H.identity() + H).parameter_sizes == {"weight": 4, "bias": 2}
    assert shifted.state_checksum() == H.state_checksum() != 0
    assert shifted.origin() == {**H.origin(), "factor": 2.0, "other factor": 0.5, "sign": 1.0}
    assert (0.5 + H).parameter_sizes == (1 - H).parameter_sizes == H.parameter_sizes
    assert (H - 0.5 * H.identity()).origin() != (H + 0.5 * H.identity()).origin()


def test_sums_scalings_and_shifts():
    V = torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    A, B = as_operator(MATRIX), as_operator(MATRIX @ MATRIX)
    matrix = torch.from_numpy(MATRIX)
    combined = 2 * A + B * 0.5 - A + 3 * A.identity() - (-B)
    expected = matrix @ V + 1.5 * (matrix @ matrix @ V) + 3 * V
    torch.testing.assert_close(combined @ V, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((1.5 + A - 0.25) @ V, matrix @ V + 1.25 * V, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((np.float64(2) - A) @ V, 2 * V - matrix @ V, rtol=1e-12, atol=1e-12)
    kept = V.clone()
    for two in (torch.tensor(2.0), torch.tensor(2), np.array(2.0), np.float32(2), nn.Parameter(torch.tensor(2.0))):
        for twice in (A * two, two * A):
            assert torch.equal(twice @ V, 2 * (A @ V))
        assert torch.equal((A / two) @ V, (A @ V) / 2)
        assert torch.equal((A + two) @ V, A @ V + 2 * V)
        assert torch.equal((two + A) @ V, A @ V + 2 * V)
    assert torch.equal((A.identity() * 2) @ V, 2 * V)
    assert torch.equal(V, kept)


def test_vectors_may_stand_on_the_left():
    V = torch.randn(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    A, matrix = as_operator(MATRIX), torch.from_numpy(MATRIX)
    torch.testing.assert_close(V @ A, V @ matrix, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(V[0] @ A @ V[1], V[0] @ matrix @ V[1], rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match=r"V must have shape \(12, P\); got \(3, 12\)"):
        V.T @ A


def test_what_is_no_vector_is_refused_by_name():
    A = as_operator(MATRIX)
    for product in (lambda A: A @ A, lambda A: A.matmat(A), lambda A: A.matvec(A)):
        with pytest.raises(TypeError, match=r"got another operator\. Multiply .*: A @ \(B @ V\)"):
            product(A)
    ones = [1.0] * 12
    for product in (lambda A: A @ ones, lambda A: ones @ A, lambda A: A.matvec(np.ones(12))):
        with pytest.raises(
            TypeError, match=r"vectors, tensors .*got (ndarray|list)\. Convert .*@ V takes NumPy arrays"
        ):
            product(A)
    for array in (np.ones(12, dtype=complex), np.array(["a"] * 12), np.array([None] * 12)):
        with pytest.raises(TypeError, match=rf"arrays of real numbers; got {array.dtype}"):
            A @ array


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_products_of_arrays_are_arrays(dtype):
    A = FunctionOperator(
        lambda V: torch.as_tensor(MATRIX).to(dtype) @ V, size=12, dtype=dtype, device=torch.device("cpu")
    )
    V = np.random.default_rng(0).standard_normal((12, 3))
    V.setflags(write=False)
    expected = A @ torch.tensor(V).to(dtype)
    product = A @ V
    assert product.dtype == {torch.float64: np.float64}.get(dtype, np.float32)
    np.testing.assert_array_equal(product, expected.to(torch.float64).numpy())
    np.testing.assert_array_equal(A @ V[::-1, 0], (A @ torch.tensor(V[::-1, 0].copy()).to(dtype)).double().numpy())
    np.testing.assert_allclose(V.T @ A, product.T, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(A @ np.arange(12), (A @ torch.arange(12).to(dtype)).double().numpy())
    with pytest.raises(ValueError, match=r"V must have shape \(12, P\); got \(3, 12\)"):
        A @ V.T


def test_eigenvectors_of_results_are_multiplied_as_they_are():
    A = as_operator(MATRIX)
    pairs = eigenpairs(A, 2, rtol=1e-10)
    for index in range(2):
        residual = A @ pairs.vector(index) - pairs.values[index] * pairs.vector(index)
        assert np.linalg.norm(residual) <= pairs.errors[index] * (1 + 1e-6) + 1e-12


def test_operators_that_define_products_alone_do_not_say_what_they_are_of():
    class Doubled(Operator):
        size, dtype, device = 3, torch.float64, torch.device("cpu")

        def _matmat(self, V):
            return 2 * V

    operator = Doubled()
    assert not operator.has_whole_origin
    assert (operator.origin(), operator.state_checksum()) == ({}, 0)


def test_operators_that_do_not_combine():
    A = as_operator(MATRIX)
    with pytest.raises(ValueError, match=r"one size, dtype and device; got size 12, torch.float64, cpu and size 3, "):
        A + as_operator(np.eye(3))
    with pytest.raises(ValueError, match=r"one size, dtype and device; .* torch.float32"):
        A - as_operator(MATRIX, dtype=torch.float32)
    for other in (torch.eye(12), "1", float("inf"), True, None):
        for add in (lambda A, c: A + c, lambda A, c: c + A, lambda A, c: A - c):
            with pytest.raises(
                TypeError, match=r"Operators and finite numbers add [^+]* Wrap a matrix with|unsupported"
            ):
                add(A, other)
    with pytest.raises(TypeError, match=r"multiplied by a finite number; got FunctionOperator\("):
        A * A
    with pytest.raises(TypeError, match="multiplied by a finite number; got nan"):
        float("nan") * A
    for vector, name in ((torch.ones(12), "Tensor"), (np.ones(12), "ndarray")):
        for product in (lambda A, v: A * v, lambda A, v: v * A):
            with pytest.raises(TypeError, match=rf"finite number; got {name} of shape \(12,\)\. Use @ for vectors"):
                product(A, vector)
    for divisor in (0, torch.tensor(0.0), float("nan"), A, True):
        with pytest.raises(TypeError, match="divided by a finite number other than 0; got"):
            A / divisor


@given(symmetric_matrices(), st.integers(1, 3))
def test_round_trip_to_scipy(case, columns):
    matrix, _ = case
    V = np.random.default_rng(0).standard_normal((len(matrix), columns))
    back = as_operator(matrix).to_scipy()
    scale = 1e-12 * (1 + np.abs(matrix).max())
    np.testing.assert_allclose(back @ V, matrix @ V, atol=scale * len(matrix))
    np.testing.assert_allclose(back.T @ V[:, 0], matrix @ V[:, 0], atol=scale * len(matrix))


def test_repr_names_size_and_device():
    assert repr(as_operator(MATRIX)) == "FunctionOperator(size=12, dtype=torch.float64, device=cpu)"


@pytest.mark.parametrize(("product", "received"), [(lambda V: V[:2], r"\(2, 2\)"), (lambda V: None, "NoneType")])
def test_function_of_another_shape(product, received):
    with pytest.raises(ValueError, match=rf"must return a tensor of V's shape \(3, 2\); got {received}"):
        as_operator(product, size=3)


class Middle(Team):
    """Holds entries 2 to 4 and 6 of seven."""

    def rows(self, size):
        return [slice(2, 5), slice(6, size)]


def test_rows_are_those_that_a_process_holds():
    operator = as_operator(np.eye(7))
    assert operator.num_rows == 7
    operator.team = Middle()
    assert (operator.num_rows, operator.shape) == (4, (7, 7))
    assert (operator.identity() @ torch.ones(4, dtype=operator.dtype)).shape == (4,)
    with pytest.raises(ValueError, match=r"v must have shape \(4,\); got \(4, 1\)"):
        operator.matvec(torch.ones(4, 1, dtype=operator.dtype))
