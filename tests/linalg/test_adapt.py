"""`as_operator`: every kind of matrix gives the same products; bad ones are refused."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from hessdens import as_operator, ggn_operator, lanczos_density
from hessdens.linalg import Operator
from hessdens.linalg.adapt import kind_of
from hessdens.linalg.team import Team
from hessdens.testing import rotated, symmetric_matrices

MATRIX = rotated(np.linspace(-2, 5, 12), np.random.default_rng(0))


class ForeignOperator:
    """The surface of the operators of curvlinops: shape, dtype, device and @ on tensors."""

    shape, dtype, device = (12, 12), torch.float64, torch.device("cpu")

    def __matmul__(self, V):
        return torch.from_numpy(MATRIX) @ V


KINDS = {
    "torch": lambda: torch.from_numpy(MATRIX),
    "numpy": lambda: MATRIX,
    "sparse": lambda: scipy.sparse.csr_array(MATRIX),
    "scipy operator": lambda: aslinearoperator(MATRIX),
    "scipy operator without dtype": lambda: LinearOperator((12, 12), matvec=lambda v: MATRIX @ v),
    "foreign operator": ForeignOperator,
}


@pytest.mark.parametrize("kind", KINDS)
def test_products_of_every_kind(kind):
    operator = as_operator(KINDS[kind]())
    V = torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(MATRIX) @ V
    assert isinstance(operator, Operator)
    assert (operator.size, operator.shape, operator.dtype) == (12, (12, 12), torch.float64)
    torch.testing.assert_close(operator @ V, expected)
    torch.testing.assert_close(operator @ V[:, 0], expected[:, 0])
    assert as_operator(operator) is operator


def test_callable_with_size_and_dtype():
    operator = as_operator(lambda V: 2 * V, size=4, dtype=torch.float32)
    assert operator.dtype == torch.float32
    torch.testing.assert_close(operator @ torch.ones(4), 2 * torch.ones(4))


def test_dtype_may_be_chosen():
    for A in (MATRIX, torch.from_numpy(MATRIX), scipy.sparse.csr_array(MATRIX), ForeignOperator()):
        operator = as_operator(A, dtype=torch.float32)
        product = operator @ torch.ones(12)
        assert product.dtype == torch.float32
        np.testing.assert_allclose(product.numpy(), MATRIX.sum(axis=1), rtol=1e-5)


def test_integer_sparse_matrix_with_a_dtype():
    operator = as_operator(scipy.sparse.csr_array(np.diag([1, 2, 3])), dtype=torch.float64)
    torch.testing.assert_close(operator @ torch.ones(3, dtype=torch.float64), torch.tensor([1.0, 2, 3]).double())


@given(symmetric_matrices())
def test_symmetric_matrices_pass_in_both_precisions(case):
    matrix, _ = case
    as_operator(matrix)
    as_operator(matrix.astype(np.float32))


@pytest.mark.parametrize("size", [2, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_asymmetric_matrix(size, dtype):
    matrix = rotated(np.linspace(1, 2, size), np.random.default_rng(0)).astype(dtype)
    matrix[0, 1] += 0.5
    with pytest.raises(ValueError, match=r"must be symmetric; got .* Pass \(A \+ A.T\) / 2"):
        as_operator(matrix)
    as_operator(matrix, check_symmetric=False)


@pytest.mark.parametrize("A", [np.ones((2, 3)), scipy.sparse.csr_array(np.ones((2, 3))), np.ones(3), np.ones((0, 0))])
def test_not_square(A):
    with pytest.raises(ValueError, match=r"must be square and not empty; got shape \("):
        as_operator(A)


def test_entries_that_are_not_finite():
    with pytest.raises(ValueError, match="must have finite entries"):
        as_operator(np.diag([1.0, np.nan]))


def test_unknown_kinds():
    with pytest.raises(ValueError, match="A callable needs its size; got size=None"):
        as_operator(lambda V: V)
    with pytest.raises(TypeError, match=r"A must be an operator, .*; got str"):
        as_operator("matrix")
    with pytest.raises(TypeError, match=r"must be real floating point; got torch.int64"):
        as_operator(np.eye(3, dtype=np.int64))
    with pytest.raises(TypeError, match=r"must be real floating point; got torch.complex128"):
        as_operator(np.eye(3) * 1j)


def test_arguments_that_contradict_the_operator():
    with pytest.raises(ValueError, match="size must be at least 1; got 0"):
        as_operator(lambda V: V, size=0)
    with pytest.raises(ValueError, match=r"must be right for others; got 7 for FunctionOperator"):
        as_operator(MATRIX, size=7)
    with pytest.raises(ValueError, match=r"keeps its dtype and device; got dtype=torch.float32"):
        as_operator(as_operator(MATRIX), dtype=torch.float32)
    with pytest.raises(TypeError, match=r"SciPy takes float32 and float64 only; the operator is torch.bfloat16"):
        as_operator(torch.eye(3), dtype=torch.bfloat16).to_scipy()
    with pytest.raises(TypeError, match=r"must be real floating point; got a NumPy array of object"):
        as_operator(MATRIX.astype(object))


@pytest.mark.parametrize("dtype", [">f8", "<f4", np.longdouble])
def test_any_floating_point_numpy_array(dtype):
    matrix = MATRIX.astype(dtype)
    matrix.setflags(write=False)
    product = as_operator(matrix) @ torch.ones(12, dtype=as_operator(matrix).dtype)
    torch.testing.assert_close(product.double(), torch.from_numpy(MATRIX.sum(axis=1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_matrices_know_their_entries(kind):
    operator = as_operator(KINDS[kind]())
    assert operator.has_whole_origin == (kind in ("torch", "numpy", "sparse"))
    assert (2 * operator + operator.identity()).has_whole_origin == operator.has_whole_origin
    assert set(operator.origin()) == ({"entries"} if operator.has_whole_origin else set())


@pytest.mark.parametrize("convert", [torch.from_numpy, np.asarray, scipy.sparse.csr_array, scipy.sparse.coo_array])
def test_another_last_bit_of_an_entry_is_another_matrix(convert):
    changed = MATRIX.copy()
    changed[3, 3] = np.nextafter(changed[3, 3], 0)
    first, again, other = (as_operator(convert(matrix)).origin() for matrix in (MATRIX, MATRIX.copy(), changed))
    assert first == again != other


def test_entries_are_those_that_the_matrix_has_when_asked():
    matrix = torch.eye(3)
    operator = as_operator(matrix)
    before = operator.origin()
    matrix[0, 0] = 2
    assert operator.origin() != before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_matrices_in_half_precision_have_float32_vectors(dtype):
    operator = as_operator(torch.eye(30, dtype=dtype))
    assert operator.dtype == torch.float32
    assert lanczos_density(operator, max_products=4).fraction_negative() == 0


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e150])
def test_symmetry_at_any_scale(scale):
    operator = as_operator(scale * MATRIX)
    torch.testing.assert_close(operator @ torch.ones(12).double(), torch.from_numpy(scale * MATRIX.sum(axis=1)))
    with pytest.raises(ValueError, match=r"must be symmetric; .* that differ by \d\.\de-0\d \(relative, tolerance"):
        as_operator(scale * np.triu(MATRIX))


def test_functions_of_parameters_give_products_without_a_graph():
    weight = torch.nn.Parameter(torch.eye(3))
    assert not (as_operator(lambda V: weight @ V, size=3, dtype=torch.float32) @ torch.ones(3)).requires_grad


def test_models_and_tensors_without_entries():
    with pytest.raises(TypeError, match=r"got a model, Linear\. Pass hessian_operator\(model, loss_fn, data\)"):
        as_operator(torch.nn.Linear(3, 3))
    with pytest.raises(ValueError, match="on the meta device"):
        as_operator(torch.eye(3, device="meta"))


class Multiplication:
    """A function with a torch dtype of its own, but without shape and @."""

    dtype = torch.float32

    def __call__(self, V):
        return 2 * V


class OtherArray:
    """Shape and @, but a dtype that is not torch's."""

    shape, dtype = (3, 3), "float64"

    def __matmul__(self, V):
        return V


def test_foreign_objects_that_are_functions_or_nothing():
    operator = as_operator(Multiplication(), size=3)
    assert (operator.size, operator.dtype) == (3, torch.float64)
    torch.testing.assert_close(operator @ torch.ones(3).double(), 2 * torch.ones(3).double())
    with pytest.raises(TypeError, match=r"A must be an operator, .*; got OtherArray"):
        as_operator(OtherArray())


def test_one_dimension():
    operator = as_operator(lambda V: 3 * V, size=1)
    assert float(operator @ torch.ones(1, dtype=operator.dtype)) == 3


def test_messages_call_operators_by_what_made_them():
    class Processes(Team):
        """A team that is not this process alone."""

    A = as_operator(MATRIX)
    shared, sharded = A + 1, A + 1
    shared.team, sharded.team = Processes(), Processes()
    sharded.team.is_sharded = True
    assert kind_of(A) == "a matrix or a function"
    assert kind_of(2 * A) == "a sum or a multiple of operators"
    assert kind_of(shared) == "an operator that processes share"
    assert kind_of(sharded) == "an operator of a sharded model"
    assert kind_of(MATRIX) == "ndarray"
    data = [(torch.eye(2), torch.ones(2, 1))]
    assert kind_of(ggn_operator(torch.nn.Linear(2, 1), torch.nn.MSELoss(), data)) == "the Gauss-Newton matrix"
