"""Losses that are no means over examples, or means with other weights, are refused."""

import pytest
import torch
from curvature_cases import DATA, INPUTS, TARGETS, batches, dense, linear, normal, refuse, relative_error
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import NonFiniteError, hessian_operator, spectral_moments
from hessdens.curvature.checks import evaluated_nearby, moved
from hessdens.curvature.engines.loss_module import LossModule
from hessdens.curvature.means import MeanCheck, check_mean, check_sum, checked_weight, mean, whole_and_halves

LABELS = torch.tensor([[0, 1, 1], [1, 0, -100], [0, -100, -100], [1, 1, 0]])
EVEN = torch.tensor([[0, 1, -100], [1, 1, -100], [1, 0, -100], [0, 0, -100]])


def tokens(model, batch):
    return model(batch[0]).flatten(0, 1), batch[1].flatten()


def sequences(labels):
    return normal(len(labels), 3, 3).float(), labels


def counted(batch):
    return (batch[1] != -100).sum()


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
    refuse("the same for all of them; got 1, 2. Pad examples .* or pass both num_examples=", data=images)


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
    check_mean(1.75, [1.0, 2.0], [1.0, 3.0], agree, (INPUTS, TARGETS))
    with pytest.raises(
        ValueError, match=r"do not give .* pass them, as num_examples=lambda batch: \(batch\[1\] != -100\).sum\(\) does"
    ):
        check_mean(1.5, [1.0, 2.0], [1.0, 3.0], agree, (INPUTS, TARGETS))
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
    check.look((INPUTS, TARGETS), 0)


def test_cost_is_three_passes_of_a_batch():
    counts = []

    def loss_fn(z, t):
        counts.append(len(z))
        return F.cross_entropy(z, t)

    loss = LossModule(linear(), loss_fn, None)
    check = MeanCheck(loss, checked_weight(None), is_counted=False, splits=True)
    batch, nearby = (INPUTS, TARGETS), moved(loss)
    value = evaluated_nearby(loss, batch, nearby)
    counts.clear()
    check.first(batch, nearby, value)
    assert counts == [2, 2, 4], "the first batch has been looked at"
    counts.clear()
    check.look(batch, 0)
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


def test_errors_of_later_batches_say_what_was_given():
    with pytest.raises(IndexError) as caught:
        hessian_operator(linear(), F.cross_entropy, [DATA[0], (INPUTS, TARGETS + 100)]).loss()
    assert caught.value.__notes__[0].startswith("hessdens was computing the loss of batch 1: torch.float32 (8, 3)")


@pytest.mark.parametrize("options", [{}, {"split_batches": False}])
def test_losses_that_are_defined_at_the_parameters_only(options):
    """Near them, as checks move the parameters, the model may raise an error: then its own point must do."""
    model = linear()
    start = model.weight.detach().clone()

    def forward(model, batch):
        assert torch.equal(model.weight, start), "outside the domain"
        return model(batch[0]), batch[1]

    torch.testing.assert_close(
        dense(hessian_operator(model, F.cross_entropy, DATA, forward=forward, **options)),
        dense(hessian_operator(model, F.cross_entropy, DATA)),
    )
    refuse("must return the mean", model=model, forward=forward, loss_fn=nn.CrossEntropyLoss(torch.tensor([1.0, 9.0])))
    data = [(INPUTS[:2], torch.tensor([[0, 1], [1, 0]]), TARGETS[:2])]
    refuse("Batches must be cut along .* failed", model=model, data=data,
           forward=lambda model, batch: (forward(model, (batch[0][batch[1][1]], None))[0], batch[2]))  # fmt: skip


def ragged(lengths, num_labels):
    """Return sequences of unequal lengths, as many in each batch, with as many labels each."""
    batches = []
    for length, labels in zip(lengths, num_labels, strict=True):
        targets = torch.full((1, length), -100)
        targets[0, :labels] = 1
        batches.append((normal(1, length, 3, seed=length).float(), targets))
    return batches


@pytest.mark.parametrize("options", [{}, {"split_batches": False}])
def test_single_examples_of_unequal_lengths_have_weights_that_are_given(options):
    data = ragged((3, 5, 4), (3, 1, 2))
    message = (
        r"weight of a batch .* must be certain; .* \(1, 3, 3\), .* \(1, 5, 3\), .* If over tokens, pass "
        r"num_examples=lambda batch: .*; if over examples, one a batch, num_examples=lambda batch: 1"
    )
    refuse(message, data=data, forward=tokens, **options)
    for weight, total in ((counted, 6), (lambda batch: 1, 3)):
        H = hessian_operator(linear(), F.cross_entropy, data, forward=tokens, num_examples=weight, **options)
        expected = sum(
            float(weight(batch)) / total * dense(hessian_operator(linear(), F.cross_entropy, [batch], forward=tokens))
            for batch in data
        )
        assert relative_error(dense(H), expected) < 1e-6


def test_unlike_batches_need_no_weights_where_others_show_a_mean():
    """Two examples in a batch tell as much as others that can be joined."""
    model, options = linear(), {"forward": lambda model, batch: (model(batch[0]).mean(dim=1), batch[1])}
    lengths = (3, 5, 4)
    for count in (2, 3):
        data = [(normal(count, length, 3).float(), TARGETS[:count]) for length in lengths]
        dense(hessian_operator(model, F.cross_entropy, data, split_batches=False, **options))
    data = [(normal(2, 3, 3).float(), TARGETS[:2]), (normal(1, 5, 3).float(), TARGETS[:1])]
    dense(hessian_operator(model, F.cross_entropy, data, **options))
    single = [(normal(1, 5, 3).float(), TARGETS[:1])]
    dense(hessian_operator(model, F.cross_entropy, single, split_batches=False, **options))


def one_by_one(model, batch):
    assert len(batch[0]) == 1, "this model takes single examples"
    return model(batch[0]), batch[1]


def test_batches_that_are_alike_need_no_weights_though_nothing_can_be_compared():
    data = batches(INPUTS, TARGETS, (1,) * 8)
    exact = dense(hessian_operator(linear(), F.cross_entropy, DATA))
    for options in ({}, {"split_batches": False}):
        H = hessian_operator(linear(), F.cross_entropy, data, forward=one_by_one, **options)
        assert relative_error(dense(H), exact) < 1e-6


def test_two_single_examples_with_other_weights_are_found_out_at_the_end_of_a_pass():
    data = [sequences(LABELS[i : i + 1]) for i in range(2)]
    refuse("other weights than the numbers of examples", data=data, forward=tokens, split_batches=False)
    data = [sequences(EVEN[i : i + 1]) for i in range(2)]
    options = {"forward": tokens, "split_batches": False}
    H = hessian_operator(linear(), F.cross_entropy, data[:1] * 2, **options)
    assert relative_error(dense(H), dense(hessian_operator(linear(), F.cross_entropy, data[:1], **options))) < 1e-6
    plain = [(x.mean(dim=1), t[:, 0]) for x, t in data]
    dense(hessian_operator(linear(), F.cross_entropy, plain, split_batches=False))


def test_batches_that_are_cut_in_vain_are_alike_or_have_weights():
    def even(model, batch):
        assert len(batch[0]) % 4 == 0, "this model takes whole groups"
        return model(batch[0]), batch[1]

    options = {"forward": even, "split_batches": False}
    dense(hessian_operator(linear(), F.cross_entropy, batches(INPUTS, TARGETS, (4, 4)), **options))
    inputs, targets = torch.cat([INPUTS, INPUTS[:4]]), torch.cat([TARGETS, TARGETS[:4]])
    data = batches(inputs, targets, (8, 4))
    refuse("must be certain; .* pass num_examples=", data=data, **options)
    dense(hessian_operator(linear(), F.cross_entropy, data, num_examples=lambda batch: len(batch[1]), **options))


@pytest.mark.parametrize(("ignored", "loss_fn"), [(-100, F.cross_entropy), (2, nn.CrossEntropyLoss(ignore_index=2))])
def test_batches_whose_labels_are_all_ignored_are_named(ignored, loss_fn):
    nothing, model = (INPUTS, torch.full_like(TARGETS, ignored)), linear()
    message = (
        rf"the loss of batch {{}} is nan, a mean over no labels, since all of them are {ignored}\. Leave such batches "
        rf"out, or count labels: num_examples=lambda batch: \(batch\[1\] != {ignored}\)\.sum\(\)\."
    )
    with pytest.raises(NonFiniteError, match=message.format(0)):
        hessian_operator(model, loss_fn, [nothing])
    something = (INPUTS, torch.where(ignored == TARGETS, 0, TARGETS))
    H = hessian_operator(model, loss_fn, [something, nothing])
    with pytest.raises(NonFiniteError, match=message.format(1)):
        H @ torch.ones(H.size)
    H = hessian_operator(
        model, loss_fn, [nothing, something], num_examples=lambda batch: (batch[1] != ignored).sum()
    )  # fmt: skip
    alone = hessian_operator(model, loss_fn, [something])
    torch.testing.assert_close(H @ torch.ones(H.size), alone @ torch.ones(H.size))
    with pytest.raises(NonFiniteError, match=r"the loss of batch 0 is nan\.$"):  # for another reason
        hessian_operator(model, loss_fn, [(INPUTS * torch.nan, something[1])])
    with pytest.raises(NonFiniteError, match=r"the loss of batch 1 is nan\.$"):  # the first that counts
        hessian_operator(
            model, loss_fn, [nothing, (INPUTS * torch.nan, something[1])],
            num_examples=lambda batch: (batch[1] != ignored).sum(),
        )  # fmt: skip


def test_advice_names_the_labels_of_mappings():
    batch = {"x": INPUTS, "labels": torch.full_like(TARGETS, -100)}
    with pytest.raises(NonFiniteError, match=r'num_examples=lambda batch: \(batch\["labels"\] != -100\)\.sum'):
        hessian_operator(
            linear(), nn.CrossEntropyLoss(), [batch], forward=lambda model, batch: (model(batch["x"]), batch["labels"])
        )
