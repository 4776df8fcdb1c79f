"""What a diagonal says of itself."""

from dataclasses import replace

import numpy as np
import pytest

from hessdens.results import Certificates, Diagonal

CERTIFICATES = Certificates(1e-10, 12, 0.5, "")
FOUND = Diagonal([3.0, 4.0, 0.0], [0.3, 0.4, 0.0], ("w", "b"), (2, 1), 0.1, 12, 6, CERTIFICATES)


def test_entries_of_a_parameter():
    values, errors = FOUND.of("w")
    assert (values.tolist(), errors.tolist()) == ([3.0, 4.0], [0.3, 0.4])
    with pytest.raises(ValueError, match="The parameter must be one of 2 names; got 'v'"):
        FOUND.of("v")


def test_texts_and_numbers():
    assert FOUND.summary() == "Diagonal of 3 entries, 12 products: sum 7 ± 0.1"
    assert repr(FOUND) == "Diagonal(size=3, num_products=12)"
    assert "  w: mean  3.5, from  3 to  4" in str(FOUND)
    numbers = FOUND.numbers()
    assert numbers["relative_error"] == pytest.approx(0.1)
    assert numbers["parameters"][0] == {"name": "w", "size": 2, "mean": 3.5, "least": 3.0, "largest": 4.0}
    assert replace(FOUND, values=np.zeros(3)).relative_error() == 0.0


def test_many_parameters_are_not_all_named():
    names = tuple(f"p{i}" for i in range(30))
    found = Diagonal(np.ones(30), np.zeros(30), names, (1,) * 30, 0.0, 30, 0, CERTIFICATES)
    assert "p19: " in str(found)
    assert "p20: " not in str(found)
    assert "and 10 more" in str(found)


@pytest.mark.parametrize(
    "change", [{"sizes": (2, 2)}, {"standard_errors": [0.1]}, {"names": ("w", "w")}, {"sizes": (3,)}]
)
def test_what_fits_nowhere_is_refused(change):
    with pytest.raises(ValueError, match=r"must (have|be)"):
        replace(FOUND, **change)
