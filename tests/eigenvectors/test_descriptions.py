"""What is said of directions, in print and in numbers."""

import numpy as np

from hessdens.eigenvectors import Carriers, Overlap, SubspaceAngles


def test_shares_are_printed_with_their_limits():
    shares = Overlap(10, [3.0, 1.0], (1, 2), [0.5, 0.25], [0.4, 0.2], [0.6, 0.3], [0.75, 0.6, 0.9])
    assert str(shares).splitlines() == [
        "75.00% (60.00% to 90.00%) of the squared length lies along 3 eigenvectors; of a random direction 30.00%",
        "             3: 50.00% (40.00% to 60.00%)",
        "             1 (2 of them): 25.00% (20.00% to 30.00%)",
    ]
    assert shares.numbers()["clusters"][1] == {"value": 1.0, "members": 2, "share": 0.25, "low": 0.2, "high": 0.3}


def test_shared_is_the_mean_squared_cosine():
    angles = SubspaceAngles([0.0, np.pi / 3], [0.0, 1.0], [0.1, 1.1])
    assert angles.shared == 0.625
    assert str(angles).splitlines()[1] == "  0.0000 (0.0000 to 0.1000) rad"
    assert (angles.numbers()["shared_by_chance"], "random" in str(angles)) == (None, False), "an older file has no size"
    assert angles.numbers()["angles"][1]["high"] == 1.1


def test_angles_stand_next_to_those_of_random_subspaces():
    angles = SubspaceAngles([np.pi / 3], [1.0], [1.1], shared_by_chance=0.25)
    assert angles.summary().splitlines()[0] == "1 principal angle, 25.00% shared; of random ones 25.00%"


def test_layers_are_printed_by_their_shares():
    found = Carriers(("a", "bc"), (30, 10), [0.25, 0.75], 12.0)
    assert str(found).splitlines() == [
        "carried by about 12 of 40 parameters (participation ratio)",
        "  bc  75.00% by 10 parameters: 3 times their part",
        "  a   25.00% by 30 parameters: 0.33 times their part",
    ]
    assert found.numbers()["layers"][0] == {"layer": "a", "size": 30, "share": 0.25}
