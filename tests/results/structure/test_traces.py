"""What traces of layers say of themselves."""

from dataclasses import replace

import numpy as np
import pytest

from hessdens.results import Certificates, LayerTraces

SAMPLES = np.array([[1.0, 4.0], [3.0, 6.0], [2.0, 5.0]])
ERRORS = SAMPLES.std(axis=0, ddof=1) / 3**0.5
FOUND = LayerTraces([2.0, 5.0], ERRORS, SAMPLES, ("a", ""), (4, 2), 12, Certificates(1e-10, 12, 0.5, ""))


def test_a_layer_and_intervals():
    assert FOUND.of("a") == (2.0, ERRORS[0])
    low, high = FOUND.interval(0.9)
    np.testing.assert_allclose(high - FOUND.values, 2.919985580353726 * ERRORS)  # Student's t, 2 degrees of freedom
    np.testing.assert_allclose(low + high, 2 * FOUND.values)
    with pytest.raises(ValueError, match="The layer must be one of 2 names; got 'b'"):
        FOUND.of("b")


def test_texts_and_numbers():
    assert FOUND.summary().splitlines() == [
        "Traces of 2 layers ± standard errors, 12 products",
        "  a: 2.00 ± 0.58 (4 parameters, mean 0.5)",
        "  (the model itself): 5.00 ± 0.58 (2 parameters, mean 2.5)",
    ]
    assert repr(FOUND) == "LayerTraces(layers=2, num_products=12)"
    assert FOUND.numbers()["layers"][1]["value"] == 5.0
    assert str(FOUND).startswith(FOUND.summary())


@pytest.mark.parametrize("change", [{"samples": SAMPLES[:1]}, {"samples": SAMPLES[:, :1]}, {"values": [1.0]}])
def test_what_fits_nowhere_is_refused(change):
    with pytest.raises(ValueError, match="must have"):
        replace(FOUND, **change)
