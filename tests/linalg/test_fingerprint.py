"""Checksums: equal for equal bits, others for another order, shape, kind or value, however small the difference."""

import datetime
from array import array
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hessdens.linalg import fingerprint as module
from hessdens.linalg.fingerprint import (
    as_number,
    checksum,
    digest_of,
    digest_of_all,
    equal_to_rounding,
    fields_of,
    fingerprint,
    is_same,
    plain_parts,
    rounded_checksum,
)

X = torch.arange(6.0).reshape(2, 3)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=20, unique=True), st.randoms())
def test_another_order_has_another_checksum(values, random):
    shuffled = random.sample(values, len(values))
    first, second = (checksum(torch.tensor(v, dtype=torch.float64)) for v in (values, shuffled))
    assert (first == second) == (values == shuffled)


DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.int64, torch.bool)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_every_bit_is_seen(dtype, data):
    """Two flips too: of the signs of two numbers, say, which a sum of whole numbers would not see."""
    tensor = torch.randint(0, 2, (40,), generator=torch.Generator().manual_seed(0)).to(dtype)
    bits = tensor.view(torch.uint8)
    places = st.tuples(st.integers(0, len(bits) - 1), st.integers(0, 7))
    flips = data.draw(st.sets(places, min_size=1, max_size=2)) if dtype != torch.bool else {(3, 0)}
    before = checksum(tensor)
    for byte, bit in flips:
        bits[byte] ^= 1 << bit
    assert checksum(tensor) != before


def test_strides_and_views_do_not_matter():
    whole = torch.arange(24.0).reshape(4, 6)
    assert checksum(whole[:, ::2]) == checksum(whole[:, ::2].contiguous())
    assert checksum(whole.expand(2, 4, 6)) == checksum(torch.stack([whole, whole]))
    assert checksum(whole[1, 2]) == checksum(torch.tensor(8.0))
    assert checksum(whole.long()[:1, 2]) == checksum(torch.tensor([2])), "torch calls a single entry contiguous"


def test_chunks_are_weighted_apart(monkeypatch):
    monkeypatch.setattr(module, "CHECKSUM_CHUNK", 4)
    module._weights.cache_clear()
    halves = torch.arange(8.0).reshape(2, 4)
    assert checksum(halves) != checksum(halves.flip(0))
    assert rounded_checksum(halves) != pytest.approx(rounded_checksum(halves.flip(0)))
    module._factors.cache_clear()
    module._weights.cache_clear()


def test_parts_of_equal_shape_that_are_exchanged():
    inputs, targets = [1.0, 2.0], [3.0, 4.0]
    first, second = (fingerprint([torch.tensor(a), torch.tensor(b)]) for a, b in ((inputs, targets), (targets, inputs)))
    assert sum(value for _, value in first) == sum(value for _, value in second)
    assert digest_of(first) != digest_of(second)


def test_digests_of_many_have_no_order():
    digests = [digest_of(fingerprint(x)) for x in (X, X + 1, X)]
    assert digest_of_all(digests) == digest_of_all(digests[::-1]) != digest_of_all(digests[:2])
    assert digest_of_all(digests[:1]) == digests[0]


def test_numbers_of_digests_are_exact():
    assert as_number("fffffffffffff000") == 2**52 - 1
    assert as_number("fffffffffffff000") != as_number("ffffffffffffe000")


def test_what_is_computed_is_compared_to_rounding():
    x = torch.rand(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert rounded_checksum(x) == pytest.approx(rounded_checksum(x * (1 + 1e-15)), rel=1e-12)
    assert rounded_checksum(x) != pytest.approx(rounded_checksum(x.flip(0)), rel=1e-6)


@pytest.mark.parametrize(
    ("batch", "other"),
    [
        (X, X.T),
        (X, X.double()),
        (X, X + 1e-6),
        (X.double(), X.double() * (1 + 2**-52)),
        (1.0, 1.0 + 2**-52),
        (2**60, 2**60 + 1),
        (X.numpy(), X.numpy() + 1),
        ({"x": X}, {"y": X}),
        ([X, 3], [X, 4]),
        ([X, 3], [X, 3.0]),
        ([X, X], [X]),
        ("cat", "dog"),
        (Fraction(1, 2), "cat"),
        (Fraction(1, 2), Fraction(1, 3)),
        (Decimal("0.5"), Decimal("0.6")),
        ({X}, {X + 1}),
        (frozenset([1, 2]), frozenset([1, 3])),
        (deque([X]), deque([X + 1])),
        (range(3), range(4)),
        (bytearray(b"ab"), bytearray(b"ac")),
        (memoryview(b"ab"), memoryview(b"ac")),
        (array("d", [1.0]), array("d", [2.0])),
        (np.array(["a"]), np.array(["b"])),
        (np.array([X], dtype=object), np.array([X + 1], dtype=object)),
        (np.array(["2020-01-01"], dtype="M8[D]"), np.array(["2020-01-02"], dtype="M8[D]")),
        (datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)),
    ],
)
def test_batches_that_differ(batch, other):
    assert is_same(fingerprint(batch), fingerprint(batch))
    assert not is_same(fingerprint(batch), fingerprint(other))


@dataclass
class Record:
    x: torch.Tensor
    around: object = None


@dataclass(slots=True)
class Slots:
    x: torch.Tensor


class OwnSlots:
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x


@pytest.mark.parametrize(
    "of",
    [
        Record,
        Slots,
        OwnSlots,
        lambda x: [SimpleNamespace(inner=Record(x))],
        lambda x: torch.complex(torch.ones_like(x), x),
        lambda x: torch.complex(torch.ones_like(x), x).numpy(),
        lambda x: complex(1, float(x[0, 0])),
        lambda x: np.complex128(complex(1, float(x[0, 0]))),
        lambda x: x.to_sparse(),
        lambda x: (x + 1).to_sparse_csr(),
        lambda x: (x + 1).to_sparse_csc(),
        lambda x: torch.complex(x, x).to_sparse(),
        lambda x: torch.nested.nested_tensor([x, x[:1]]),
        lambda x: torch.nested.nested_tensor([x, x[:1]], layout=torch.jagged),
    ],
)
@pytest.mark.filterwarnings("ignore:.*nested:UserWarning", "ignore:Sparse:UserWarning")
def test_what_is_seen_in_objects_and_tensors_of_all_kinds(of):
    assert is_same(fingerprint(of(X)), fingerprint(of(X.clone())))
    assert not is_same(fingerprint(of(X)), fingerprint(of(X + 1)))


def test_fields_of_objects_in_circles_and_of_functions():
    record = Record(X)
    record.around = record
    assert [value for _, value in fingerprint(record)].count(checksum(X)) == 1
    assert fields_of(len) == fields_of(Record) == fields_of(torch) == fields_of(lambda: 0) == {}
    assert list(fields_of(record)) == ["x", "around"]


def test_plain_parts_share_memory():
    assert plain_parts(X)[0].data_ptr() == X.data_ptr()
    assert [part.shape for part in plain_parts(torch.complex(X, X))] == [(2, 3, 2)]
    assert [tuple(part.shape) for part in plain_parts(X.to_sparse())] == [(2, 5), (5,)]


def test_kinds_of_one_batch_that_are_the_same():
    assert is_same(fingerprint((X, X)), fingerprint([X, X.clone()]))
    path = Path("a")
    before = fingerprint(path)
    str(path)  # which it keeps
    assert is_same(before, fingerprint(path))
    assert is_same(fingerprint(X.numpy()), fingerprint(X))
    assert is_same(fingerprint(X * torch.nan), fingerprint(X * torch.nan))
    assert is_same(fingerprint(torch.empty(0, 3)), fingerprint(torch.zeros(0, 3)))
    assert fingerprint(torch.empty(2, device="meta"))[0][1] == 0


def test_equal_to_rounding():
    nan = float("nan")
    assert equal_to_rounding(1.0, 1.0 + 1e-13, 1e-11)
    assert not equal_to_rounding(1.0, 1.0 + 1e-9, 1e-11)
    assert not equal_to_rounding(1.0, 1.0 + 2**-52, 0.0)
    assert equal_to_rounding(nan, nan, 0.0)
    assert not equal_to_rounding(nan, 1.0, 0.1)
    assert equal_to_rounding("a", "a", 0.0)
    assert not equal_to_rounding(None, 1.0, 0.1)
    assert not equal_to_rounding(np.ones(2).shape, (3,), 0.1)
