"""What a batch may be, and what data may be: containers, objects, sparse, ragged, packed, loaders, changing data."""

import itertools
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from zoo.cases import LABELS, Case, Module, Situation, filled, free, normal, pairs, plain, refused

Sample = namedtuple("Sample", ["x", "y"])


@dataclass
class Record:
    """A batch as an object."""

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self):
        return len(self.x)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(normal_in(5, 3), LABELS, strict=True))


def normal_in(*shape, seed=0):
    """Return numbers in float64: loaders are read when the default dtype is another."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float().double()


class Source:
    """Data whose passes are what a function returns."""

    def __init__(self, function):
        self.function, self.count = function, itertools.count()

    def __iter__(self):
        return iter(self.function(next(self.count)))


def of(batch, forward, model=None, lengths=(3, 2), **options):
    """Return a maker of batches made of pieces of inputs and targets by ``batch(x, y)``."""

    def make():
        data = [batch(x, y) for x, y in pairs(normal(5, 3), normal(5, 2, seed=1), lengths)]
        network = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)) if model is None else model()
        options_ = options if forward is None else {"forward": forward, **options}
        return Situation(filled(network), nn.MSELoss(), data, options_, weights=list(lengths))

    return make


def loader(data_of, batches=True):
    """Return a maker of a situation with a data loader."""

    def make():
        reference = list(pairs(normal_in(5, 3), LABELS, (2, 2, 1)))
        return Situation(filled(nn.Linear(3, 3)), nn.CrossEntropyLoss(), data_of(), batches=reference)

    return make


def sparse_matrix(layout):
    dense = torch.tensor([[0.0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]])
    return dense.to_sparse() if layout == "coo" else dense.to_sparse_csr()


def sparse_inputs(layout, **options):
    def make():
        data = [((x * (x > 0)).to_sparse() if layout == "coo" else (x * (x > 0)).to_sparse_csr(), y)
                for x, y in pairs(normal(5, 3), LABELS)]  # fmt: skip
        model = Module(lambda self, x: torch.sparse.mm(x, self.weight) + self.bias, weight=free(3, 3), bias=free(3))
        return Situation(filled(model), nn.CrossEntropyLoss(), data, options, weights=[3, 2])

    return make


def sparse_in(place):
    """Return a maker of a model that multiplies by a sparse matrix in a buffer or a closure."""

    def make():
        matrix = sparse_matrix("coo").to(torch.get_default_dtype())

        def forward(self, x):
            hops = self.matrix if place == "buffer" else matrix
            return self.head(torch.sparse.mm(hops, self.first(x).tanh().T).T)

        parts = {"matrix": matrix} if place == "buffer" else {}
        model = Module(forward, first=nn.Linear(3, 3), head=nn.Linear(3, 3), **parts)
        return plain(model, nn.CrossEntropyLoss(), normal(5, 3), LABELS)

    return make


def nested(layout, **options):
    """Sequences of other lengths in one nested tensor."""

    def make():
        rows = [normal(n, 2, seed=n) for n in (2, 3, 1, 4, 2)]
        data = [(torch.nested.nested_tensor(part, layout=layout), y)
                for part, y in ((rows[:3], LABELS[:3]), (rows[3:], LABELS[3:]))]  # fmt: skip
        model = Module(lambda self, x: self.head(self.first(torch.nested.to_padded_tensor(x, 0.0)).tanh().sum(1)),
                       first=nn.Linear(2, 3, bias=False), head=nn.Linear(3, 3))  # fmt: skip
        return Situation(filled(model), nn.CrossEntropyLoss(), data, options, weights=[3, 2])

    return make


def packed(**options):
    """Packed sequences as the inputs of a recurrent network."""

    def make():
        rows = [normal(n, 2, seed=n) for n in (3, 2, 1, 4, 2)]
        pack = nn.utils.rnn.pack_sequence
        data = [(pack(part), y) for part, y in ((rows[:3], LABELS[:3]), (rows[3:], LABELS[3:]))]
        model = Module(lambda self, x: self.head(self.rnn(x)[1][0]), rnn=nn.GRU(2, 2), head=nn.Linear(2, 3))
        return Situation(filled(model), nn.CrossEntropyLoss(), data, options, weights=[3, 2])

    return make


def images(**options):
    """A list of images of other sizes, as detectors take them."""

    def make():
        sizes = ((2, 3), (3, 3), (4, 2), (3, 2), (2, 2))
        rows = [normal(1, *size, seed=i) for i, size in enumerate(sizes)]
        data = [(rows[:3], LABELS[:3]), (rows[3:], LABELS[3:])]
        model = Module(lambda self, xs: torch.stack([self.head(self.conv(x).tanh().mean((1, 2))) for x in xs]),
                       conv=nn.Conv2d(1, 2, 2), head=nn.Linear(2, 3))  # fmt: skip
        return Situation(filled(model), nn.CrossEntropyLoss(), data, options, weights=[3, 2])

    return make


def changing(batch_of):
    """Return a maker of data whose later passes differ."""

    def make():
        x, y = normal(5, 3), normal(5, 2, seed=1)
        data = Source(lambda i: [batch_of(x, y, i)])
        forward = lambda model, batch: (model((batch.x if isinstance(batch, Record) else batch[0]).real), y)  # noqa: E731
        options = {"forward": forward, "num_examples": lambda batch: 5, "split_batches": False}
        return Situation(filled(nn.Linear(3, 2)), nn.MSELoss(), data, options, batches=[], weights=[])

    return make


def generator():
    situation = plain(nn.Linear(3, 3), nn.CrossEntropyLoss(), normal(5, 3), LABELS)
    return Situation(situation.model, situation.loss_fn, (batch for batch in situation.data))


def shuffled():
    data = DataLoader(TensorDataset(normal_in(5, 3), LABELS), batch_size=2, shuffle=True)
    return Situation(filled(nn.Linear(3, 3)), nn.CrossEntropyLoss(), data, batches=[], weights=[])


def half_backbone():
    """A frozen backbone in half precision, fed in half precision, under a head of the usual dtype."""
    dtype = torch.get_default_dtype()
    backbone = filled(nn.Linear(3, 4)).to(torch.bfloat16).requires_grad_(False)
    model = Module(lambda self, x: self.head(self.backbone(x).to(dtype)), backbone=backbone, head=nn.Linear(4, 3))
    filled(model.head)
    return Situation(model.eval(), nn.CrossEntropyLoss(), pairs(normal(5, 3).to(torch.bfloat16), LABELS))


def first(model, batch):
    return model(batch[0]), batch[1]


def by_key(model, batch):
    return model(batch["inputs"]["x"]), batch["y"]


def by_name(model, batch):
    return model(batch.x), batch.y


def padded_cut(model, batch):
    return model(batch[0][:, : int(batch[2].max())].mean(1)), batch[1]


COUNTED = {"num_examples": len, "split_batches": False}
FIVE = {"num_examples": lambda batch: len(batch[1]), "split_batches": False}
F64 = (torch.float64,)
CASES = [
    Case("nested dictionaries", of(lambda x, y: {"inputs": {"x": x, "id": "a"}, "y": y, "none": None}, by_key)),
    Case("named tuples", of(Sample, None)),
    Case("lists", of(lambda x, y: [x, y], None)),
    Case("triples with a number", of(lambda x, y: (x, y, 0.5), lambda m, b: (b[2] * m(b[0]), b[1]))),
    Case("tensors of dimension 0", of(lambda x, y: (x, y, torch.tensor(0.5)), lambda m, b: (b[2] * m(b[0]), b[1]),
                                      num_examples=lambda b: len(b[0]))),
    Case("numpy arrays beside tensors", of(
        lambda x, y: (x, y, np.float64(0.5)), lambda m, b: (float(b[2]) * m(b[0]), b[1]))),
    Case("objects, counted", of(Record, by_name, **COUNTED)),
    refused("objects", "num_examples=", of(Record, by_name), ("hessian", "ggn")),
    refused("pairs without forward", "must be a pair", of(Record, None)),
    Case("one example a batch", of(lambda x, y: (x, y), None, lengths=(1, 1, 1, 1, 1))),
    Case("batches of other sizes", of(lambda x, y: (x, y), None, lengths=(1, 3, 1))),
    Case("one batch", of(lambda x, y: (x, y), None, lengths=(5,))),
    Case("integer inputs", lambda: plain(
        Module(lambda self, x: self.linear(x.to(self.linear.weight.dtype)), linear=nn.Linear(3, 3)),
        nn.CrossEntropyLoss(), torch.arange(15).reshape(5, 3) % 4, LABELS)),
    Case("boolean inputs", lambda: plain(
        Module(lambda self, x: self.linear(x.to(self.linear.weight.dtype)), linear=nn.Linear(3, 3)),
        nn.CrossEntropyLoss(), normal(5, 3) > 0, LABELS)),
    Case("expanded inputs", lambda: plain(nn.Linear(3, 3), nn.CrossEntropyLoss(), normal(1, 3).expand(5, 3), LABELS)),
    Case("loader", loader(lambda: DataLoader(TensorDataset(normal_in(5, 3), LABELS), batch_size=2)), dtypes=F64),
    Case("loader of a stream without length", loader(lambda: DataLoader(Stream(), batch_size=2)), dtypes=F64),
    Case("stream of batches", loader(
        lambda: Source(lambda i: pairs(normal_in(5, 3), LABELS, (2, 2, 1)))), dtypes=F64),
    Case("loader of batches", loader(
        lambda: DataLoader(pairs(normal_in(5, 3), LABELS, (2, 2, 1)), batch_size=None)), dtypes=F64),
    refused("generator", "must be re-iterable", generator),
    refused("shuffled loader", "same batches in every pass", shuffled, dtypes=F64),
    Case("sparse inputs", sparse_inputs("coo")),
    Case("sparse inputs, whole batches", sparse_inputs("coo", **FIVE)),
    Case("sparse rows", sparse_inputs("csr", **FIVE)),
    Case("sparse buffer", sparse_in("buffer")),
    Case("sparse matrix in a closure", sparse_in("closure")),
    Case("nested tensor", nested(torch.strided, **FIVE), warning="nested"),
    refused("nested tensor, cut", "split_batches=", nested(torch.strided), either=True, warning="nested"),
    Case("jagged tensor", nested(torch.jagged, **FIVE), warning="nested"),
    Case("packed sequences, counted", packed(**FIVE)),
    refused("packed sequences", "split_batches=|num_examples=", packed(), ("hessian", "ggn")),
    Case("images of other sizes, counted", images(**FIVE)),
    refused("images of other sizes", "split_batches=|num_examples=", images(), ("hessian", "ggn")),
    Case("padding cut by lengths", of(
        lambda x, y: (x.unsqueeze(1).repeat(1, 4, 1), y, torch.full((len(x),), 2)), padded_cut)),
    refused("changing tensors", "same batches in every pass", changing(lambda x, y, i: (x + i, y))),
    refused("changing objects", "same batches in every pass", changing(lambda x, y, i: Record(x + i, y))),
    refused("changing imaginary parts", "same batches in every pass",
            changing(lambda x, y, i: (torch.complex(x, x * i), y)), dtypes=F64),
    refused("changing sparse tensors", "same batches in every pass",
            changing(lambda x, y, i: ((x + i).to_sparse().to_dense(), (x + i).to_sparse()))),
    refused("inputs changed in place", "must not change the batch in place.* forward=lambda", lambda: plain(
        Module(lambda self, x: self.linear(x.clamp_(0, 1)), linear=nn.Linear(3, 3)), nn.CrossEntropyLoss(),
        normal(5, 3), LABELS), ("hessian", "ggn")),
    Case("copies of inputs changed in place", lambda: plain(
        Module(lambda self, x: self.linear(x.clone().clamp_(0, 1)), linear=nn.Linear(3, 3)), nn.CrossEntropyLoss(),
        normal(5, 3), LABELS)),
    refused("inputs of another dtype", "model's dtype", lambda: plain(
        nn.Linear(3, 3).to(torch.get_default_dtype()), nn.CrossEntropyLoss(), normal(5, 3).half(), LABELS)),
    Case("frozen backbone in half precision", half_backbone),
]  # fmt: skip
