"""What `as_operator` takes, and what it refuses."""

import pytest
import torch
from zoo.matrices import MATRICES

from hessdens import as_operator


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in MATRICES])
def test_matrices(case):
    if case.refusal is not None:
        with pytest.raises((ValueError, TypeError), match=case.refusal):
            as_operator(case.make(), **case.options) @ torch.eye(3, dtype=torch.float64)
        return
    operator = as_operator(case.make(), **case.options)
    result = operator @ torch.eye(operator.size, dtype=operator.dtype)
    assert not result.requires_grad
    torch.testing.assert_close(result.double(), torch.from_numpy(case.expected), rtol=1e-12, atol=0)
