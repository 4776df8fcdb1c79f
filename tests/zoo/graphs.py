"""Graphs, sets, detectors and recommenders: data whose tensors are not all cut alike."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from zoo.cases import LABELS, Case, Module, Situation, filled, free, normal, plain, refused

EDGES = torch.tensor([[0, 1, 1, 2, 3, 4, 4, 0], [1, 0, 2, 1, 4, 3, 0, 4]])
WHOLE = {"split_batches": False}


def linear():
    return nn.Linear(3, 3)


def one_graph(forward, num_examples=None, **parts):
    """Return a maker of two graphs: batches of (nodes, edges, labels of nodes)."""

    def make():
        data = [
            (normal(5, 3), EDGES, LABELS),
            (normal(3, 3, seed=5), torch.tensor([[0, 1, 2, 1], [1, 2, 0, 0]]), LABELS[:3]),
        ]
        given = {} if num_examples is None else {"num_examples": num_examples, **WHOLE}
        model = filled(Module(None, **{name: part() for name, part in parts.items()}))
        return Situation(model, nn.CrossEntropyLoss(), data, {"forward": forward, **given}, weights=[5, 3])

    return make


def summed(messages, index, count):
    return messages.new_zeros(count, messages.shape[1]).index_add(0, index, messages)


def convolution(model, batch):
    x, (source, target), y = batch
    h = x + summed(model.first(x)[source], target, len(x)).tanh()
    return model.head(h + summed(h[source], target, len(x))), y


def graph_attention(model, batch):
    x, (source, target), y = batch
    h = model.first(x)
    scores = F.leaky_relu(h[source] @ model.a + h[target] @ model.b, 0.2).exp()
    weights = scores / (x.new_zeros(len(x)).index_add(0, target, scores)[target] + 1e-3)
    return model.head(summed(weights.unsqueeze(1) * h[source], target, len(x)).tanh()), y


def edge_scores(model, batch):
    x, (source, target), _ = batch
    h = model.first(x).tanh()
    return (h[source] * h[target]).sum(1), (source < target).to(x.dtype)


def links():
    situation = one_graph(edge_scores, lambda batch: batch[1].shape[1], first=linear)()
    return Situation(situation.model, nn.BCEWithLogitsLoss(), situation.data, situation.options, weights=[8, 4])


def batched_graphs(**options):
    """Graphs of other sizes in one batch, with the graph of each node: readout by sums, a label for each graph."""

    def forward(model, batch):
        x, graph, y = batch
        return model.head(summed(model.first(x).tanh(), graph, len(y))), y

    def make():
        data = [
            (normal(6, 3), torch.tensor([0, 0, 1, 2, 2, 2]), LABELS[:3]),
            (normal(3, 3, seed=5), torch.tensor([0, 1, 1]), LABELS[3:]),
        ]
        model = filled(Module(None, first=linear(), head=linear()))
        return Situation(model, nn.CrossEntropyLoss(), data, {"forward": forward, **options}, weights=[3, 2])

    return make


def sparse_graph(**options):
    """The adjacency matrix of each batch is a sparse tensor."""

    def forward(model, batch):
        adjacency, x, y = batch
        return model.head(torch.sparse.mm(adjacency, model.first(x)).tanh()), y

    def make():
        adjacency = torch.sparse_coo_tensor(EDGES, normal(8).abs(), (5, 5), check_invariants=False)
        data = [(adjacency, normal(5, 3), LABELS)]
        model = filled(Module(None, first=linear(), head=linear()))
        return Situation(model, nn.CrossEntropyLoss(), data, {"forward": forward, **options}, weights=[5])

    return make


def dense_graph():
    def forward(model, batch):
        x, adjacency, y = batch
        return model.head((adjacency @ model.first(x)).tanh().mean(1)), y

    adjacency = (normal(5, 4, 4, seed=3) > 0).to(torch.get_default_dtype())
    columns = zip(*(t.split([3, 2]) for t in (normal(5, 4, 3), adjacency, LABELS)), strict=True)
    return Situation(filled(Module(None, first=linear(), head=linear())), nn.CrossEntropyLoss(), list(columns),
                     {"forward": forward})  # fmt: skip


def deep_sets(pool):
    return lambda: plain(
        Module(lambda self, x: self.head(pool(self.each(x).tanh())), each=nn.Linear(3, 3), head=linear()),
        nn.CrossEntropyLoss(), normal(5, 4, 3), LABELS,
    )  # fmt: skip


def detector(**options):
    """Images and lists of boxes: an image has as many boxes as it has; the loss is that of boxes."""

    def forward(model, batch):
        images, boxes = batch
        features = model.conv(torch.stack(images)).tanh().flatten(1)
        return model.head(features), boxes

    def loss_fn(z, boxes):
        return torch.stack([F.smooth_l1_loss(row.expand_as(b["boxes"]), b["boxes"])
                            for row, b in zip(z, boxes, strict=True)]).mean()  # fmt: skip

    def make():
        images = list(normal(5, 1, 3, 3).unbind(0))
        boxes = [{"boxes": normal(n, 4, seed=i), "labels": torch.arange(n)} for i, n in enumerate((1, 3, 2, 2, 1))]
        data = [(images[:3], boxes[:3]), (images[3:], boxes[3:])]
        model = filled(Module(None, conv=nn.Conv2d(1, 1, 2), head=nn.Linear(4, 4)))
        return Situation(model, loss_fn, data, {"forward": forward, **options}, weights=[3, 2])

    return make


def factorisation():
    """Users and items: a product of embeddings and biases."""

    def forward(self, pair):
        user, item = pair.unbind(1)
        return (self.users(user) * self.items(item)).sum(1) + self.bias(user)[:, 0]

    model = Module(forward, users=nn.Embedding(4, 2), items=nn.Embedding(3, 2), bias=nn.Embedding(4, 1))
    tuples = torch.tensor([[0, 1], [1, 2], [3, 0], [2, 2], [0, 0]])
    return plain(model, nn.MSELoss(), tuples, normal(5, seed=1))


def negative_sampling():
    """Word vectors: a word that occurs, and others that do not, in one list of tokens."""

    def forward(self, x):
        return (self.inside(x[:, :1]) * self.outside(x[:, 1:])).sum(-1)

    tokens = torch.tensor([[0, 1, 2, 3], [3, 2, 2, 1], [1, 1, 0, 2], [2, 3, 0, 0], [3, 0, 1, 1]])
    signs = torch.tensor([[1.0, 0, 0]]).expand(5, 3).to(torch.get_default_dtype())
    return plain(Module(forward, inside=nn.Embedding(4, 3), outside=nn.Embedding(4, 3)), nn.BCEWithLogitsLoss(),
                 tokens, signs)  # fmt: skip


def bags(**options):
    """Bags of tokens by offsets: the tokens of all bags in one tensor."""

    def forward(model, batch):
        tokens, offsets, y = batch
        return model.head(model.table(tokens, offsets).tanh()), y

    def make():
        data = [
            (torch.tensor([0, 1, 1, 2, 3, 0]), torch.tensor([0, 2, 3]), LABELS[:3]),
            (torch.tensor([3, 3, 1]), torch.tensor([0, 1]), LABELS[3:]),
        ]
        model = filled(Module(None, table=nn.EmbeddingBag(4, 3), head=linear()), 1.0)
        return Situation(model, nn.CrossEntropyLoss(), data, {"forward": forward, **options}, weights=[3, 2])

    return make


def siamese():
    def forward(model, batch):
        (a, b), y = batch
        return F.pairwise_distance(model.first(a).tanh(), model.first(b).tanh()), y

    data = [((a, b), y) for a, b, y in zip(*(t.split([3, 2]) for t in (
        normal(5, 3), normal(5, 3, seed=3), normal(5, seed=4).abs())), strict=True)]  # fmt: skip
    return Situation(filled(Module(None, first=linear())), nn.MSELoss(), data, {"forward": forward})


def prototypes():
    """Few-shot episodes: support and query examples, as many of one as of the other, but not to be cut."""

    def forward(model, batch):
        support, query, y = batch
        centres = torch.stack([model.first(support)[k::2].mean(0) for k in range(2)])
        return -(model.first(query).unsqueeze(1) - centres).square().sum(2), y

    data = [(normal(4, 3, seed=i), normal(4, 3, seed=5 + i), torch.tensor([0, 1, 1, 0])) for i in range(2)]
    return Situation(filled(Module(None, first=nn.Linear(3, 2))), nn.CrossEntropyLoss(), data,
                     {"forward": forward, **WHOLE})  # fmt: skip


def nodes(batch):
    return len(batch[0])


def graphs(batch):
    return len(batch[2])


EDGE = "num_examples=|split_batches="
CASES = [
    Case("graph convolution", one_graph(convolution, nodes, first=linear, head=linear)),
    refused("graph convolution, cut", EDGE, one_graph(convolution, first=linear, head=linear), ("hessian", "ggn")),
    Case("graph attention", one_graph(
        graph_attention, nodes, first=linear, head=linear, a=lambda: free(3), b=lambda: free(3))),
    Case("links of a graph", links),
    Case("batched graphs", batched_graphs(num_examples=graphs, **WHOLE)),
    refused("batched graphs, cut", EDGE, batched_graphs(), ("hessian", "ggn")),
    refused("batched graphs, not counted", "num_examples=", batched_graphs(**WHOLE)),
    Case("sparse adjacency", sparse_graph(num_examples=graphs, **WHOLE)),
    refused("sparse adjacency, cut", EDGE, sparse_graph()),
    Case("dense adjacency", dense_graph),
    Case("deep sets", deep_sets(lambda x: x.sum(1))),
    Case("points by maxima", deep_sets(lambda x: x.amax(1))),
    Case("detector", detector(num_examples=lambda batch: len(batch[0]), **WHOLE)),
    refused("detector, cut", EDGE, detector(), ("hessian", "ggn")),
    Case("matrix factorisation", factorisation),
    Case("negative sampling", negative_sampling),
    Case("bags by offsets", bags(num_examples=graphs, **WHOLE), differences=True, by_differences=True),
    refused("bags by offsets, cut", EDGE, bags(), ("hessian", "ggn")),
    Case("siamese", siamese),
    Case("prototypes", prototypes),
]  # fmt: skip
