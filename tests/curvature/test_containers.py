"""Tensors in nested containers: found in order, replaced, cut and moved."""

from collections import OrderedDict, defaultdict, namedtuple

import pytest
import torch
from torch import nn

from hessdens.curvature.containers import (
    batch_length,
    flattened,
    joined,
    leaves_of,
    map_tensors,
    on_device_of,
    shielded,
    slice_batch,
    tensors_of,
)

Pair = namedtuple("Pair", "x y")
A, B = torch.arange(4.0), torch.ones(4, 2)
NESTED = [A, {"b": B, "text": "c"}, Pair(A + 1, (2, None))]


class Boxes(list):
    def __init__(self, items, size):
        super().__init__(items)
        self.size = size


class Fixed(tuple):
    def __new__(cls, items, size):
        return super().__new__(cls, items)


def test_what_is_done_to_a_shielded_batch_leaves_the_other():
    batch = {"x": B, "y": A, "more": [A]}
    other = shielded(batch)
    assert other["x"].data_ptr() == B.data_ptr()
    other["x"].requires_grad_()
    other.pop("y")
    other["more"].append(B)
    assert list(batch) == ["x", "y", "more"]
    assert len(batch["more"]) == 1
    assert not B.requires_grad
    leaf = torch.ones(2, requires_grad=True)
    shielded(leaf).sum().backward()
    assert leaf.grad is None
    product = 2 * leaf
    assert shielded(product) is product, "its past is seen"
    parameter = nn.Parameter(torch.ones(2))
    assert shielded(parameter) is parameter
    fixed = Fixed([A], size=3)
    assert shielded(fixed) is fixed


def test_leaves_and_tensors_in_order():
    tensors = tensors_of(NESTED)
    assert tensors[0] is A
    assert tensors[1] is B
    assert torch.equal(tensors[2], A + 1)
    assert [leaf for leaf in leaves_of(NESTED) if not isinstance(leaf, torch.Tensor)] == ["c", 2, None]
    assert tensors_of("text") == []


def test_replaced_in_the_same_containers():
    doubled = map_tensors(lambda t: 2 * t, NESTED)
    assert torch.equal(doubled[0], 2 * A)
    assert doubled[1]["text"] == "c"
    assert isinstance(doubled[2], Pair)
    assert doubled[2].y == (2, None)
    boxes = Boxes([A, "b"], size=3)
    assert isinstance(map_tensors(torch.neg, boxes), Boxes)
    assert map_tensors(torch.neg, boxes).size == 3
    table = defaultdict(list, x=A)
    assert map_tensors(torch.neg, table)["missing"] == []
    assert torch.equal(table["x"], A), "the original stays"
    assert list(map_tensors(torch.neg, OrderedDict(x=A, y=B))) == ["x", "y"]


def test_flattened_and_rebuilt():
    leaves, rebuilt = flattened({"a": A, "rest": (B, [A])})
    assert len(leaves) == 3
    assert rebuilt([1, 2, 3]) == {"a": 1, "rest": (2, [3])}


def test_cut_along_the_first_dimension_of_all():
    assert batch_length(NESTED) == 4
    part = slice_batch({"x": B, "y": A, "scalar": torch.tensor(1.0), "sparse": B.to_sparse()}, 1, 3)
    assert [tuple(tensor.shape) for tensor in part.values()] == [(2, 2), (2,), (), (2, 2)]
    assert torch.equal(slice_batch(torch.eye(3).to_sparse(), 1, 5).to_dense(), torch.eye(3)[1:])
    for batch, received in ((3.0, "float"), ((A.numpy(), ["a", 2.0]), "tuple of ndarray, str, float"), ([], "list")):
        with pytest.raises(
            ValueError, match=rf"along which it is cut; got {received}\. Make tensors .* pass both \"?num"
        ):
            batch_length(batch)


def test_first_dimensions_that_differ():
    """An auxiliary tensor may have the length of one batch by chance, so it is not cut in any."""
    for function in (batch_length, lambda batch: slice_batch(batch, 0, 1)):
        with pytest.raises(
            ValueError,
            match=r"the same for all of them; got 4, 7\. Pad examples .*, or pass both num_examples=.* split_batches=",
        ):
            function({"x": B, "constant": torch.ones(7)})


def test_joined():
    scalar = torch.tensor(2.0)
    both = joined({"x": B, "y": scalar, "name": "a"}, {"x": 2 * B[:1], "y": scalar, "name": "a"})
    assert torch.equal(both["x"], torch.cat([B, 2 * B[:1]]))
    assert (both["y"], both["name"]) == (scalar, "a")
    for other in ([B.double()], [B[:, :1]], [A], [scalar], ["a"], [B, B]):
        assert joined([B], other) is None
    assert joined([scalar], [scalar + 1]) is None


def test_on_the_device_of_a_model():
    (batch,) = on_device_of(nn.Linear(2, 1, device="meta"), [(A, "label")])
    assert batch[0].device.type == "meta"
    assert batch[1] == "label"
