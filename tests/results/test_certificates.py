"""Certificates: what they warn of, print, and keep in files."""

import platform

import numpy as np
import pytest

import hessdens
from hessdens.results import Certificates
from hessdens.results.certificates import DEFECTS, versions


def certificates(**defects):
    return Certificates(1e-12, 1234, 0.5, "hessdens 0", **defects)


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_above_the_threshold_is_told(name):
    (warning,) = certificates(**{name: 1e-3}).warnings()
    assert warning == f"{DEFECTS[name]} ({name} 1.0e-03, threshold 1.0e-12)"
    assert certificates(**{name: 1e-13}).warnings() == ()
    assert certificates().warnings() == ()


def test_printed():
    lines = str(certificates(symmetry=1e-3, weights=0.0)).splitlines()
    assert lines == [
        "  defects: symmetry 1e-03, weights 0e+00 (threshold 1e-12)",
        "  cost: 1,234 products, 0.5 s (hessdens 0)",
        "  WARNING: the operator's products are not symmetric (symmetry 1.0e-03, threshold 1.0e-12).",
    ]
    assert str(certificates()).startswith("  defects: none can be told (threshold 1e-12)\n")


def test_arrays_come_back():
    before = certificates(trace=0.5)
    arrays = {name: np.asarray(array) for name, array in before.to_arrays().items()}
    after = Certificates.from_arrays(arrays, "r.npz")
    assert str(after) == str(before)
    assert type(after.num_products) is int


def test_versions():
    text = f"hessdens {hessdens.__version__}, torch 9, NumPy {np.__version__}, Python {platform.python_version()}"
    assert versions(torch="9") == text
