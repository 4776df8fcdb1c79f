"""Moments with errors of two kinds: read-only, printed, as numbers."""

import numpy as np
import pytest
from scipy import stats

from hessdens.results import DataNoise

NOISE = DataNoise([1.0, -2.0], [0.3, 0.0], [0.4, 0.1], size=1000, num_batches=2, num_probes=4, num_products=16)


def test_errors_of_both_kinds_add_in_squares():
    np.testing.assert_allclose(NOISE.total_errors, [0.5, 0.1])


def test_intervals_have_the_degrees_of_freedom_of_batches_and_of_probes():
    half_width = np.hypot(stats.t.ppf(0.95, 3) * NOISE.probe_errors, stats.t.ppf(0.95, 1) * NOISE.data_errors)
    np.testing.assert_allclose(NOISE.interval(0.9), [NOISE.values - half_width, NOISE.values + half_width])
    with pytest.raises(ValueError, match="level must lie between 0 and 1; got 2"):
        NOISE.interval(2)


def test_printed():
    assert str(NOISE).splitlines() == [
        "Moments of 1,000 eigenvalues from 2 batches and 4 probes, 16 products with a batch",
        "  m_1 =  1.0000e+00 ± 3.0e-01 (probes) ± 4.0e-01 (data)",
        "  m_2 = -2.0000e+00 ± 0.0e+00 (probes) ± 1.0e-01 (data)",
    ]


def test_files_and_numbers(tmp_path):
    NOISE.save(tmp_path / "d.npz")
    loaded = DataNoise.load(tmp_path / "d.npz")
    assert loaded.numbers() == NOISE.numbers()
    low, high = NOISE.interval(0.9)[:, 0]
    row = {"order": 1, "value": 1.0, "probe_error": 0.3, "data_error": 0.4, "low": low, "high": high}
    assert loaded.numbers(level=0.9)["moments"][0] == row
    assert {name: loaded.numbers()[name] for name in ("kind", "num_batches")} == {"kind": "DataNoise", "num_batches": 2}
    with pytest.raises(ValueError, match="read-only"):
        loaded.values[0] = 1.0
