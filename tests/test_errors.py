"""Errors that callers catch are kinds of what they would catch without knowing hessdens."""

import numpy as np
import pytest

import hessdens
from hessdens.errors import NonFiniteError, RankError


def test_a_matrix_that_is_not_finite_is_a_wrong_value():
    with pytest.raises(ValueError, match="finite") as caught:
        hessdens.exact_spectrum(np.full((2, 2), np.nan))
    assert caught.type is NonFiniteError
    assert hessdens.NonFiniteError is NonFiniteError


def test_processes_that_disagree_are_no_wrong_value():
    assert issubclass(RankError, RuntimeError)
    assert not issubclass(RankError, ValueError)
