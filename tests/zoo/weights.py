"""Means that are no means over the first dimension: tokens, masks, class weights, time first, blocks of weight 0."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from zoo.cases import LABELS, Case, Module, Situation, filled, free, normal, pairs, refused

MASKED = torch.tensor([[0, 1, 2, -100], [1, -100, -100, -100], [2, 0, -100, -100], [0, 1, 1, 2], [1, 2, 0, 1]])
NONE_IN_ONE = torch.tensor([[0, 1, 2, 0], [-100, -100, -100, -100], [2, 0, -100, -100], [0, 1, 1, 2], [1, 2, 0, 1]])
EVEN = torch.tensor([[0, 1, -100, -100], [1, 2, -100, -100], [2, 0, -100, -100], [0, 1, 1, 0], [1, -100, -100, -100]])
CLASS_WEIGHTS = (1.0, 2.0, 5.0)


def tokens_kept(batch):
    return int((batch["labels"] != -100).sum())


def flat_tokens(model, batch):
    return model(batch["x"]).flatten(0, 1), batch["labels"].flatten()


def batches_of_tokens(labels, lengths=(3, 2)):
    parts = zip(normal(5, 4, 3).split(list(lengths)), labels.split(list(lengths)), strict=True)
    return [{"x": x, "labels": y} for x, y in parts]


def tokens(labels, lengths=(3, 2), loss_fn=F.cross_entropy, **options):
    """Return a maker of batches of sequences, of which some tokens have no label."""

    def make():
        data = batches_of_tokens(labels, lengths)
        weights = [tokens_kept(batch) for batch in data]
        return Situation(filled(nn.Linear(3, 3)), loss_fn, data, {"forward": flat_tokens, **options}, weights=weights)

    return make


def two_dimensional(labels, **options):
    """Return a maker of pairs with classes in dimension 1 and tokens in dimension 2."""

    def make():
        model = filled(Module(lambda self, x: self.linear(x).transpose(1, 2), linear=nn.Linear(3, 3)))
        data = pairs(normal(5, 4, 3), labels)
        kept = [int((y != -100).sum()) for _, y in data]
        return Situation(model, nn.CrossEntropyLoss(), data, options, weights=kept)

    return make


def labelled_pairs(labels, **options):
    """Return a maker of single labels, of which some are ignored."""

    def make():
        data = pairs(normal(5, 3), labels)
        kept = [int((y != -100).sum()) for _, y in data]
        return Situation(filled(nn.Linear(3, 3)), nn.CrossEntropyLoss(), data, options, weights=kept)

    return make


def class_weights(**options):
    def make():
        weight = torch.tensor(CLASS_WEIGHTS)
        data = pairs(normal(5, 3), LABELS)
        weights = [float(weight[y].sum()) for _, y in data] if "num_examples" in options else None
        return Situation(filled(nn.Linear(3, 3)), nn.CrossEntropyLoss(weight=weight), data, options, weights=weights)

    return make


def masked_mean(z, batch):
    return ((z - batch["y"]).square() * batch["mask"]).sum() / batch["mask"].sum()


def masked(**options):
    """Ragged regression: a mask says which numbers count."""

    def make():
        mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0], [1, 1, 0]]).to(torch.get_default_dtype())
        columns = zip(*(t.split([3, 2]) for t in (normal(5, 3, 2), normal(5, 3, seed=1), mask)), strict=True)
        data = [{"x": x, "y": y, "mask": m} for x, y, m in columns]
        forward = {"forward": lambda model, batch: (model(batch["x"]).squeeze(-1), batch)}
        return Situation(filled(nn.Linear(2, 1)), masked_mean, data, {**forward, **options},
                         weights=[float(batch["mask"].sum()) for batch in data])  # fmt: skip

    return make


def time_first(num_examples=None, **options):
    """Two batches (T, B, F) of other lengths T: the first dimension counts time, the second examples."""

    def make():
        data = [(normal(t, b, 2, seed=t), normal(b, 3, seed=10 + t)) for t, b in ((1, 3), (4, 2))]
        model = filled(Module(lambda self, x: self.head(self.rnn(x)[1][0]), rnn=nn.RNN(2, 3), head=nn.Linear(3, 3)))
        given = {} if num_examples is None else {"num_examples": num_examples}
        return Situation(model, nn.MSELoss(), data, {**given, **options}, weights=[3, 2])

    return make


def time_first_targets(**options):
    """Inputs and targets both time first, so that their first dimensions agree: time steps are the examples."""

    def make():
        data = [(normal(t, 2, 2, seed=t), normal(t, 2, 1, seed=10 + t)) for t in (1, 5)]
        return Situation(filled(nn.Linear(2, 1)), nn.MSELoss(), data, options, weights=[1, 5])

    return make


def auxiliary(**options):
    """An auxiliary tensor of length 2, in batches of 4 and 2 examples: it must not be cut with the second."""

    def forward(model, batch):
        x, y, aux = batch
        return model(x) + aux.sum(), y

    def make():
        data = [(normal(n, 3, seed=n), normal(n, 2, seed=9 + n), torch.tensor([1.0, 2.0])) for n in (4, 2)]
        model = filled(nn.Sequential(nn.Linear(3, 2), nn.Softplus()))
        return Situation(model, nn.MSELoss(), data, {"forward": forward, **options}, weights=[4, 2])

    return make


def empty_batch():
    data = [*pairs(normal(5, 3), LABELS), (normal(0, 3), LABELS[:0])]
    return Situation(filled(nn.Linear(3, 3)), nn.CrossEntropyLoss(), data)


def fractional():
    """Examples with weights of their own, as in importance sampling: the loss divides by their sum."""

    def loss_fn(z, t):
        y, w = t
        return (F.cross_entropy(z, y, reduction="none") * w).sum() / w.sum()

    weights = torch.tensor([0.5, 1.5, 0.0, 2.0, 0.25])
    data = [(x, (y, w)) for (x, y), (_, w) in zip(
        pairs(normal(5, 3), LABELS), pairs(LABELS, weights.to(torch.get_default_dtype())), strict=True)]  # fmt: skip
    return Situation(
        filled(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))), loss_fn, data,
        {"num_examples": lambda batch: float(batch[1][1].sum())}, weights=[float(batch[1][1].sum()) for batch in data],
    )  # fmt: skip


def unused_in_first_batch():
    """Two heads, of which each batch uses one."""
    model = filled(Module(None, a=nn.Linear(3, 2), b=nn.Linear(3, 2), never=free(2)))
    data = [(normal(3, 3), normal(3, 2, seed=1), "a"), (normal(2, 3, seed=2), normal(2, 2, seed=3), "b")]
    return Situation(model, nn.MSELoss(), data, {"forward": lambda m, b: (getattr(m, b[2])(b[0]), b[1])})


def weights_that_are_wrong(weight):
    def make():
        data = pairs(normal(5, 3), LABELS)
        return Situation(filled(nn.Linear(3, 3)), nn.CrossEntropyLoss(), data, {"num_examples": weight})

    return make


ALL = torch.full((5, 4), -100)
COUNTED = {"num_examples": tokens_kept}
KEPT = {"num_examples": lambda batch: int((batch[1] != -100).sum())}
IGNORED = torch.tensor([0, -100, 2, -100, 1])
CASES = [
    Case("tokens counted", tokens(MASKED, **COUNTED), ("hessian", "ggn", "fisher")),
    Case("tokens counted, whole batches", tokens(MASKED, split_batches=False, **COUNTED)),
    refused("tokens not counted", "num_examples=", tokens(MASKED), ("hessian", "ggn", "fisher")),
    refused("tokens not counted, equal in the first batch", "num_examples=", tokens(EVEN), ("hessian", "ggn")),
    refused("tokens not counted, one example a batch", "num_examples=", tokens(MASKED, (1, 1, 1, 1, 1))),
    refused("tokens not counted, whole batches", "num_examples=", tokens(MASKED, split_batches=False)),
    Case("tokens in dimension 2", two_dimensional(MASKED, **KEPT)),
    refused("tokens in dimension 2 not counted", "num_examples=", two_dimensional(MASKED)),
    Case("example without labels", tokens(NONE_IN_ONE, **COUNTED), ("hessian", "ggn"), blocks=(1,)),
    Case("batch without labels", tokens(torch.cat([MASKED[:3], ALL[:2]]), **COUNTED), ("hessian", "ggn", "fisher")),
    Case("first batch without labels", tokens(torch.cat([ALL[:3], MASKED[3:]]), **COUNTED)),
    Case("single labels, some ignored", labelled_pairs(IGNORED, **KEPT), ("hessian", "ggn", "empirical"), blocks=(1,)),
    Case("first half of the first batch ignored",
         labelled_pairs(torch.tensor([-100, 2, 1, -100, 1]), **KEPT), ("hessian", "ggn")),
    refused("single labels, some ignored, not counted", "num_examples=", labelled_pairs(IGNORED)),
    Case("class weights counted", class_weights(
        num_examples=lambda batch: float(torch.tensor(CLASS_WEIGHTS)[batch[1]].sum()))),
    refused("class weights not counted", "num_examples=", class_weights(), ("hessian", "ggn")),
    refused("class weights, whole batches not counted", "num_examples=", class_weights(split_batches=False),
            either=True),
    Case("masked regression counted", masked(num_examples=lambda batch: float(batch["mask"].sum()))),
    refused("masked regression not counted", "num_examples=", masked()),
    Case("time first, counted", time_first(lambda batch: batch[0].shape[1], split_batches=False)),
    refused("time first", "num_examples=|split_batches=", time_first()),
    refused("time first, whole batches", "num_examples=", time_first(split_batches=False)),
    Case("time first, each step an example", time_first_targets()),
    Case("auxiliary tensor, counted", auxiliary(num_examples=lambda batch: len(batch[0]), split_batches=False)),
    refused("auxiliary tensor", "num_examples=|split_batches=", auxiliary()),
    refused("empty batch", "at least one example; batch 2 has none", empty_batch),
    Case("weights of examples", fractional, blocks=(1,)),
    Case("head that the first batch does not use", unused_in_first_batch),
    refused("weights of zero", "num_examples must add up to more than zero", weights_that_are_wrong(lambda batch: 0)),
    refused("negative weights", "num_examples", weights_that_are_wrong(lambda batch: -1.0)),
    refused("infinite weights", "num_examples", weights_that_are_wrong(lambda batch: float("nan"))),
]  # fmt: skip
