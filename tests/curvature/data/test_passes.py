"""Passes over the data: repeated, and refused where they differ."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from curvature_cases import DATA, INPUTS, TARGETS, linear, refuse
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from hessdens import hessian_operator
from hessdens.curvature.data.passes import RepeatedPasses


def test_empty_data():
    refuse("data must hold at least one batch; got none", data=[])


def test_generator_is_used_up():
    refuse("data must be re-iterable, .*; got generator, .* Pass list", data=(b for b in DATA), error=TypeError)


def test_shuffled_data():
    loader = DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=4, shuffle=True)
    refuse("same batches in every pass; batch 0 differs .* Switch off shuffling", data=loader)


class Changing:
    """Gives the passes that it was told to, one after another."""

    def __init__(self, *passes):
        self._passes = itertools.chain(passes[:-1], itertools.repeat(passes[-1]))

    def __iter__(self):
        return iter(next(self._passes))


@pytest.mark.parametrize(
    ("last", "found"),
    [
        (DATA[:1], "the first had 2, this one 1"),
        ([*DATA, DATA[0]], "batch 2 differs"),
        ([DATA[0], (INPUTS[5:] + 1, TARGETS[5:])], "batch 1 differs"),
        ([DATA[0], (INPUTS[5:].flip(-1), TARGETS[5:])], "batch 1 differs"),
        ([DATA[1], DATA[0]], "batch 0 differs"),
    ],
)
def test_data_that_change_from_pass_to_pass(last, found):
    """The first batch is looked at twice before the first product; the others are compared from the second on."""
    refuse(f"same batches in every pass; {found}", data=Changing(DATA, DATA, DATA, last))
    hessian_operator(linear(), F.cross_entropy, Changing(DATA, last), check_deterministic=False)


def test_construction_does_not_read_all_data():
    class Counting:
        reads = 0

        def __iter__(self):
            for batch in DATA:
                Counting.reads += 1
                yield batch

    operator = hessian_operator(linear(), F.cross_entropy, Counting())
    assert Counting.reads == 2
    operator @ torch.ones(operator.size)
    assert Counting.reads == 4
    hessian_operator(linear(), F.cross_entropy, Counting(), check_deterministic=False)
    assert Counting.reads == 5


class Images(torch.utils.data.Dataset):
    """Pictures that are mirrored at random, as in training."""

    def __len__(self):
        return 8

    def __getitem__(self, i):
        picture = torch.arange(12).remainder(7).reshape(3, 4).float() / 255 + i
        return (picture.flip(-1) if torch.rand(()) < 0.5 else picture).flatten()[:3], i % 2


def test_random_mirror_images():
    """A mirror image has the same entries, so that no sum over them would tell."""
    refuse("same batches in every pass; batch 0 differs", data=DataLoader(Images(), batch_size=8))


@pytest.mark.parametrize("change", [lambda i: np.full(3, float(i)), lambda i: i, lambda i: f"batch {i}"])
def test_changes_in_what_is_not_a_tensor(change):
    passes = itertools.count()

    class Data:
        def __iter__(self):
            return iter([{"x": INPUTS, "y": TARGETS, "more": change(next(passes))}])

    refuse(
        "same batches in every pass; batch 0 differs",
        data=Data(),
        forward=lambda model, batch: (model(batch["x"]), batch["y"]),
    )


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([(INPUTS[i], TARGETS[i]) for i in range(8)])


def test_loader_of_a_stream_has_no_length():
    passes = RepeatedPasses(DataLoader(Stream(), batch_size=3), check=True)
    assert passes.num_batches == 1
    assert [len(x) for x, _ in passes] == [3, 3, 2]
    assert passes.num_batches == 3


def test_first_batch_that_counts_and_looks_in_the_first_pass():
    passes, seen = RepeatedPasses([1.0, 2.0, 3.0], check=True), []
    passes.look = lambda index, batch: seen.append((index, batch))
    passes.skip_to(lambda batch: batch > 2)
    assert (passes.first_index, passes.first_batch) == (2, 3.0)
    seen.clear()
    assert list(passes) == list(passes) == [1.0, 2.0, 3.0]
    assert seen == [(0, 1.0), (1, 2.0), (2, 3.0)]
    passes.skip_to(lambda batch: batch > 9)
    assert passes.first_batch == 3.0


def test_objects_that_change():
    counter = itertools.count()

    class Data:
        def __iter__(self):
            return iter([SimpleNamespace(x=INPUTS + next(counter), y=TARGETS)])

    refuse("same batches in every pass; batch 0 differs", data=Data(), num_examples=lambda batch: 8,
           split_batches=False, forward=lambda model, batch: (model(batch.x), batch.y))  # fmt: skip


def test_one_iterator_behind_an_iterable():
    class Data:
        batches = iter(DATA[:1])

        def __iter__(self):
            return self.batches

    refuse("data must be re-iterable.* got Data, which is used up", data=Data(), error=TypeError)


def test_the_seed_of_a_device_that_is_not_in_use_yet():
    """Torch keeps the seed for a device that is not initialised yet in a queue."""
    model = linear()
    torch.manual_seed(123)
    before = list(torch.cuda._lazy_seed_tracker.get_calls())
    hessian_operator(model, F.cross_entropy, DATA)
    assert list(torch.cuda._lazy_seed_tracker.get_calls()) == before
