"""Passes over the data: repeated, refused where they differ, and where losses are not means."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from curvature_cases import DATA, INPUTS, TARGETS, batches, dense, linear, normal, refuse, relative_error
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

from hessdens import hessian_operator, spectral_moments
from hessdens.curvature.engines.loss_module import LossModule
from hessdens.curvature.passes import (
    MeanCheck,
    RepeatedPasses,
    check_mean,
    check_sum,
    checked_weight,
    mean,
    whole_and_halves,
)

LABELS = torch.tensor([[0, 1, 1], [1, 0, -100], [0, -100, -100], [1, 1, 0]])
EVEN = torch.tensor([[0, 1, -100], [1, 1, -100], [1, 0, -100], [0, 0, -100]])


def tokens(model, batch):
    return model(batch[0]).flatten(0, 1), batch[1].flatten()


def sequences(labels):
    return normal(len(labels), 3, 3).float(), labels


def counted(batch):
    return (batch[1] != -100).sum()


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


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ([sequences(LABELS)], {}),
        ([sequences(EVEN), sequences(LABELS)], {}),
        ([sequences(LABELS[i : i + 1]) for i in range(4)], {}),
        ([sequences(EVEN), sequences(LABELS)], {"check_deterministic": False}),
        ([sequences(LABELS)], {"split_batches": False}),
        ([sequences(EVEN), sequences(LABELS)], {"split_batches": False}),
        ([sequences(LABELS[i : i + 1]) for i in range(4)], {"split_batches": False}),
        ([sequences(EVEN), sequences(LABELS)], {"num_examples": lambda batch: len(batch[1])}),
    ],
)
def test_means_over_tokens_are_found_out_in_any_batch(data, options):
    refuse(r"must return the mean .* num_examples=", data=data, forward=tokens, **options)


def test_means_over_tokens_with_their_weights():
    data = [sequences(EVEN), sequences(LABELS), *(sequences(LABELS[i : i + 1]) for i in range(4))]
    for splits in (True, False):
        H = hessian_operator(
            linear(), F.cross_entropy, data, forward=tokens, num_examples=counted, split_batches=splits
        )
        spectral_moments(H, method="skilling", num_probes=2)
        assert H.total_weight == 8 + 9 + 9


@pytest.mark.parametrize("lengths", [(8,), (4, 4), (2, 2, 2, 2), (1,) * 8])
def test_losses_that_couple_examples_are_taken_whole(lengths):
    """No weights of examples explain such a loss, so there is nothing to be given."""
    loss_fn = lambda z, t: F.cross_entropy(z @ z.T, torch.arange(len(z)))  # noqa: E731
    operator = hessian_operator(linear(), loss_fn, batches(INPUTS, TARGETS, lengths), split_batches=False)
    spectral_moments(operator, method="skilling", num_probes=2)
    refuse("if batches must not be cut, split_batches=False", loss_fn=loss_fn, data=batches(INPUTS, TARGETS, (8,)))


def test_rounding_of_a_loss_near_zero_is_no_other_mean():
    """Large outputs of float32 have more rounding than their small losses alone would tell."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 300), nn.Tanh(), nn.Linear(300, 2))
    x = torch.randn(301, 3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 20
        labels = model(x).argmax(dim=1)
    losses = F.cross_entropy(model(x), labels, reduction="none")
    assert 0 < losses.mean() < 1
    operator = hessian_operator(model, F.cross_entropy, batches(x, labels, (101, 100, 100)))
    spectral_moments(operator, method="skilling", num_probes=2)


def test_blocks_without_weight_are_skipped():
    """The loss of nothing but ignored labels is NaN, which weight 0 does not make finite."""
    labels = torch.tensor([-100, -100, -100, -100, 0, -100, 1, 1])
    options = {"num_examples": counted}
    kept = hessian_operator(linear(), F.cross_entropy, [(INPUTS[labels >= 0], labels[labels >= 0])])
    for lengths in ((4, 4), (8,), (2, 6), (1,) * 8):
        data = batches(INPUTS, labels, lengths)
        for splits in (True, False):
            H = hessian_operator(linear(), F.cross_entropy, data, split_batches=splits, **options)
            assert H.loss() == pytest.approx(kept.loss())
            assert relative_error(dense(H), dense(kept)) < 1e-6
            assert H.total_weight == 3
    refuse("add up to more than zero over data; got 0", data=[(INPUTS, labels.fill_(-100))], num_examples=counted)


def test_batches_that_cannot_be_cut_say_so():
    edges = torch.tensor([[0, 1], [1, 0]])
    message = r"that of the batch .* failed\. Pass split_batches=False, and num_examples=.*mean\. The error was: "

    def forward(model, batch):
        return model(batch[0][batch[1][1]]), batch[2]

    data = [(INPUTS[:2], edges, TARGETS[:2])]
    refuse(message, data=data, forward=forward)
    hessian_operator(linear(), F.cross_entropy, data, forward=forward, split_batches=False)
    texts = [(["a", "bb"], TARGETS[:2])]
    refuse(r"that of the batch torch.int64 \(2,\), str failed\. Pass split_batches=", data=texts,
           forward=lambda model, batch: (model(torch.ones(len(batch[0]), 3)), batch[1]))  # fmt: skip

    def unequal(z, t):
        if len(z) != 2:
            raise RuntimeError
        return z.mean()

    refuse(r"num_examples=.* The error was: RuntimeError\.$", data=DATA[:1], loss_fn=unequal,
           forward=lambda model, batch: (model(batch[0])[: 2 * (len(batch[0]) // 5)], batch[1]))  # fmt: skip
    images = [([INPUTS[:1], INPUTS[1:2]], TARGETS[:2])]
    refuse("the same for all of them; got 1, 2. Pass num_examples=", data=images)


def test_weights_are_numbers():
    assert checked_weight(None)(sequences(LABELS)) == 4.0
    assert checked_weight(counted)(sequences(LABELS)) == 9.0
    for value in (-1, float("inf"), float("nan"), None, "two"):
        with pytest.raises(ValueError, match=r"must be a number of at least 0; got .* for the batch torch.float32 \(4"):
            checked_weight(lambda batch, value=value: value)(sequences(LABELS))
    refuse("must be a number of at least 0", data=batches(INPUTS, TARGETS, (5, 3)),
           num_examples=lambda batch: len(batch[0]) - 4)  # fmt: skip


def test_checks_of_given_values():
    agree = lambda x, y: abs(x - y) < 1e-12  # noqa: E731
    check_sum(3.0, [1.0, 1.5], 1e-12)
    with pytest.raises(ValueError, match="as a sum's do"):
        check_sum(3.0, [1.0, 2.0], 1e-12)
    check_mean(1.75, [1.0, 2.0], [1.0, 3.0], agree)
    with pytest.raises(ValueError, match="weighted by numbers of examples, do not give"):
        check_mean(1.5, [1.0, 2.0], [1.0, 3.0], agree)
    assert mean([1.0, 2.0], [1.0, 3.0]) == 1.75
    whole, first, second = whole_and_halves((INPUTS[:1], TARGETS[:1]))
    assert torch.equal(whole[0], torch.cat([first[0], second[0]]))
    assert len(first[0]) == 1


def test_batches_too_large_for_the_memory_are_not_looked_at_whole():
    def loss_fn(z, t):
        if len(z) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return F.cross_entropy(z, t)

    check = MeanCheck(LossModule(linear(), loss_fn, None), checked_weight(None), is_counted=False, splits=True)
    check.look((INPUTS, TARGETS))


def test_cost_is_three_passes_of_a_batch():
    counts = []

    def loss_fn(z, t):
        counts.append(len(z))
        return F.cross_entropy(z, t)

    loss = LossModule(linear(), loss_fn, None)
    check = MeanCheck(loss, checked_weight(None), is_counted=False, splits=True)
    check.first((INPUTS, TARGETS))
    counts.clear()
    check.look((INPUTS, TARGETS))
    assert counts == [8, 8, 2, 2, 4]


def zero_head():
    """All outputs are equal, so that any weights of the examples give the same loss, though not the same matrix."""
    model = linear()
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    return model


@pytest.mark.parametrize(
    "loss_fn",
    [
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 9.0])),
        lambda z, t: (F.cross_entropy(z, t, reduction="none") ** 2).mean().sqrt(),
    ],
)
def test_means_are_found_out_where_all_examples_have_one_loss(loss_fn):
    refuse("must return the mean", model=zero_head(), loss_fn=loss_fn)


def test_random_numbers_before_a_head_of_zeros_are_found_out():
    refuse(
        "must not be random; ",
        model=nn.Sequential(nn.Tanh(), zero_head()),
        forward=lambda model, batch: (model[1](F.dropout(batch[0], training=True)), batch[1]),
    )


def test_errors_of_later_batches_say_what_was_given():
    with pytest.raises(IndexError) as caught:
        hessian_operator(linear(), F.cross_entropy, [DATA[0], (INPUTS, TARGETS + 100)]).loss()
    assert caught.value.__notes__[0].startswith("hessdens was computing the loss of batch 1: torch.float32 (8, 3)")
