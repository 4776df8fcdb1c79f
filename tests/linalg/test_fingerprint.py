"""Checksums: equal for equal numbers, others for another order, shape, kind or value."""

from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hessdens.linalg import fingerprint as module
from hessdens.linalg.fingerprint import (
    checksum,
    equal_to_rounding,
    fields_of,
    fingerprint,
    is_same,
    plain_parts,
    summed,
)

X = torch.arange(6.0).reshape(2, 3)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=20, unique=True), st.randoms())
def test_another_order_has_another_checksum(values, random):
    shuffled = random.sample(values, len(values))
    first, second = (checksum(torch.tensor(v, dtype=torch.float64)) for v in (values, shuffled))
    assert equal_to_rounding(first, second) == (values == shuffled)


def test_chunks_are_weighted_apart(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 4)
    module._weights.cache_clear()
    halves = torch.arange(8.0).reshape(2, 4)
    assert checksum(halves) != pytest.approx(checksum(halves.flip(0)))
    module._weights.cache_clear()


def test_parts_of_equal_shape_that_are_exchanged():
    inputs, targets = [1.0, 2.0], [3.0, 4.0]
    first, second = (fingerprint([torch.tensor(a), torch.tensor(b)]) for a, b in ((inputs, targets), (targets, inputs)))
    assert sum(value for _, value in first) == sum(value for _, value in second)
    assert summed(first) != pytest.approx(summed(second))


@pytest.mark.parametrize(
    ("batch", "other"),
    [
        (X, X.T),
        (X, X.double()),
        (X, X + 1e-6),
        (X.numpy(), X.numpy() + 1),
        ({"x": X}, {"y": X}),
        ([X, 3], [X, 4]),
        ([X, 3], [X, 3.0]),
        ([X, X], [X]),
        ("cat", "dog"),
        (Fraction(1, 2), "cat"),
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


@pytest.mark.parametrize(
    "of",
    [
        Record,
        Slots,
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
    assert is_same(fingerprint(X.numpy()), fingerprint(X))
    assert is_same(fingerprint(X * torch.nan), fingerprint(X * torch.nan))
    assert is_same(fingerprint(torch.empty(0, 3)), fingerprint(torch.zeros(0, 3)))
    assert fingerprint(torch.empty(2, device="meta"))[0][1] == 0


def test_equal_to_rounding():
    nan = float("nan")
    assert equal_to_rounding(1.0, 1.0 + 1e-13)
    assert not equal_to_rounding(1.0, 1.0 + 1e-9)
    assert equal_to_rounding(1.0, 1.0 + 1e-9, 1e-8)
    assert equal_to_rounding(nan, nan)
    assert not equal_to_rounding(nan, 1.0)
    assert equal_to_rounding("a", "a")
    assert not equal_to_rounding(None, 1.0)
    assert not equal_to_rounding(np.ones(2).shape, (3,))
