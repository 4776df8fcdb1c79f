"""Parts by name, in results."""

import pytest

from hessdens.results.structure.named import check_lengths, place_of, shown


def test_places_and_names():
    assert place_of("b", ["a", "b"]) == 1
    assert (shown("a"), shown("")) == ("a", "(the model itself)")
    check_lengths(["a", "b"], sizes=2)


def test_what_is_refused():
    with pytest.raises(
        ValueError, match=r"The layer must be one of 2 names; got 'head 3'. Near: \['head [12]', 'head [12]'\]"
    ):
        place_of("head 3", ["head 1", "head 2"], "layer")
    with pytest.raises(ValueError, match=r"Near: \['a', 'b'\]"):
        place_of("zzz", ["a", "b"])
    with pytest.raises(ValueError, match="names must be different, and at least one; got"):
        check_lengths(["a", "a"])
    with pytest.raises(ValueError, match="names must be different, and at least one; got"):
        check_lengths([])
    with pytest.raises(ValueError, match="sizes must have an entry for each of 2 names; got 3"):
        check_lengths(["a", "b"], sizes=3)
