"""Recurrent networks, attention of several kinds, language models, and losses of sequences."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from zoo.cases import LABELS, Case, Module, Situation, filled, free, normal, plain, refused

LENGTHS = torch.tensor([4, 2, 3, 1, 4])


def sequence(function, inputs=2, steps=4, **parts):
    """Return a maker of a classification of sequences (examples, steps, inputs)."""
    return lambda: plain(
        Module(function, **{name: part() for name, part in parts.items()}),
        nn.CrossEntropyLoss(), normal(5, steps, inputs), LABELS,
    )  # fmt: skip


def head(size=2):
    return lambda: nn.Linear(size, 3)


def recurrent(kind, size=2, **keywords):
    """Return a maker with a recurrent layer, whose last output is classified."""
    directions = 2 if keywords.get("bidirectional") else 1
    width = keywords.get("proj_size", size) * directions
    return sequence(lambda self, x: self.head(self.rnn(x)[0][:, -1]),
                    rnn=lambda: kind(2, size, batch_first=True, **keywords), head=head(width))  # fmt: skip


def cell(self, x):
    h = x.new_zeros(len(x), 2)
    for step in x.unbind(1):
        h = self.cell(step, h)
    return self.head(h)


def lstm_cell(self, x):
    state = None
    for step in x.unbind(1):
        state = self.cell(step, state)
    return self.head(state[0])


def packed_inside(kind):
    """Padded sequences with their lengths, packed in the forward pass."""

    def forward(model, batch):
        x, lengths, y = batch
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(model["rnn"](packed)[0], batch_first=True, total_length=x.shape[1])
        return model["head"](out.sum(1)), y

    def make():
        model = filled(nn.ModuleDict({"rnn": kind(2, 2, batch_first=True), "head": nn.Linear(2, 3)}))
        columns = zip(*(t.split([3, 2]) for t in (normal(5, 4, 2), LENGTHS, LABELS)), strict=True)
        return Situation(model, nn.CrossEntropyLoss(), list(columns), {"forward": forward})

    return make


def multi_head(**keywords):
    """Return a maker with torch's own attention."""

    def forward(self, x):
        given = {name: value(x) for name, value in keywords.items()}
        out, _ = self.attention(x, x, x, need_weights=False, **given)
        return self.head(out.mean(1))

    return sequence(forward, attention=lambda: nn.MultiheadAttention(2, 2, batch_first=True), head=head())


def causal_mask(x):
    return torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool), 1)


def padding_mask(x):
    return x[..., 0] > 1.5


def attention(function, width=6, out=2, **parts):
    """Return a maker with hand-made attention: ``function(self, q, k, v)``."""

    def forward(self, x):
        return self.head(function(self, *self.qkv(x).chunk(3, dim=-1)).mean(1))

    return sequence(forward, qkv=lambda: nn.Linear(2, width), head=head(out), **parts)


def rotary(self, q, k, v):
    angles = torch.arange(q.shape[1], dtype=q.dtype).unsqueeze(1)

    def turned(x):
        a, b = x.unbind(-1)
        cos, sin = angles.cos().squeeze(1), angles.sin().squeeze(1)
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)

    return F.scaled_dot_product_attention(turned(q), turned(k), v)


def alibi(self, q, k, v):
    steps = torch.arange(q.shape[1], dtype=q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=-(steps[:, None] - steps).abs() * 0.3)


def relative_bias(self, q, k, v):
    steps = torch.arange(q.shape[1])
    bias = self.bias[(steps[:, None] - steps) + 3]
    return ((q @ k.transpose(1, 2) + bias).softmax(-1)) @ v


def linear_attention(self, q, k, v):
    q, k = F.elu(q) + 1, F.elu(k) + 1
    return (q @ (k.transpose(1, 2) @ v)) / (q @ k.sum(1).unsqueeze(-1))


def grouped(self, x):
    """Two query heads share one head of keys and values."""
    q, k, v = self.q(x).unflatten(-1, (2, 2)), self.k(x).unflatten(-1, (1, 2)), self.v(x).unflatten(-1, (1, 2))
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, enable_gqa=True, is_causal=True)
    return self.head(out.transpose(1, 2).flatten(2).mean(1))


def windowed(self, q, k, v):
    steps = torch.arange(q.shape[1])
    near = (steps[:, None] - steps).abs() <= 1
    return F.scaled_dot_product_attention(q, k, v, attn_mask=near)


def sigmoid_attention(self, q, k, v):
    return torch.sigmoid(q @ k.transpose(1, 2) - 1) @ v


def hopfield(self, q, k, v):
    patterns = F.normalize(self.patterns, dim=-1)
    return (2 * q @ patterns.T).softmax(-1) @ patterns + v


def latents(self, x):
    """A learned query for the whole sequence."""
    scores = (self.query @ self.k(x).transpose(1, 2)).softmax(-1)
    return self.head((scores @ self.v(x)).flatten(1))


def cross(self, x):
    return self.head(F.scaled_dot_product_attention(self.q(x[:, :2]), self.k(x[:, 2:]), x[:, 2:]).sum(1))


def state_space(self, x):
    """A diagonal linear recurrence with gates of the input, as in selective state spaces."""
    decay, h, states = torch.sigmoid(self.gate(x)), x.new_zeros(len(x), 2), []
    for t in range(x.shape[1]):
        h = decay[:, t] * h + (1 - decay[:, t]) * x[:, t]
        states.append(h)
    return self.head(torch.stack(states, 1).mean(1).tanh())


def encoder_layer(**keywords):
    return sequence(
        lambda self, x: self.layer(x).mean(1) @ self.out,
        out=lambda: free(2, 3),
        layer=lambda: nn.TransformerEncoderLayer(2, 1, 2, dropout=0.1, batch_first=True, **keywords),
    )


def decoder_layer():
    return sequence(lambda self, x: self.layer(x[:, :2], x[:, 2:]).mean(1)[:, :1] * self.out, out=lambda: free(3),
                    layer=lambda: nn.TransformerDecoderLayer(2, 1, 1, batch_first=True, bias=False))  # fmt: skip


TOKENS = torch.tensor([[0, 1, 2, 3], [3, 2, 2, 1], [1, 1, 0, 2], [2, 3, 0, 0], [3, 0, 1, 1]])


class Language(nn.Module):
    """A causal language model with tied embeddings, which gives logits or its own loss."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Embedding(4, 3), nn.Linear(3, 3)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, input_ids, labels=None):
        h = self.embed(input_ids)
        h = F.scaled_dot_product_attention(h, h, self.mix(h), is_causal=True)
        logits = self.head(h.tanh())
        if labels is None:
            return {"logits": logits}
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return {"loss": loss, "logits": logits}


def language(forward, loss_fn):
    def make():
        data = [{"input_ids": part, "labels": part} for part in TOKENS.split([3, 2])]
        return Situation(filled(Language(), 1.0), loss_fn, data, {"forward": forward}, weights=[3, 2])

    return make


def next_tokens(model, batch):
    return model(batch["input_ids"])["logits"][:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten()


def loss_of_model(model, batch):
    return model(**batch)["loss"], None


def ctc(targets, **options):
    """Connectionist temporal classification, targets padded or concatenated."""

    def make():
        classes = torch.tensor([[1, 2], [2, 0], [1, 1], [2, 1], [1, 0]])
        lengths = torch.tensor([2, 1, 2, 2, 1])
        model = Module(lambda self, x: self.linear(x), linear=nn.Linear(2, 3))
        data = []
        for start, stop in ((0, 3), (3, 5)):
            rows, counts = classes[start:stop], lengths[start:stop]
            if targets == "concatenated":
                rows = torch.cat([row[:n] for row, n in zip(rows, counts, strict=True)])
            data.append((normal(5, 5, 2)[start:stop], (rows, counts)))

        def loss_fn(z, t):
            steps = torch.full((len(z),), z.shape[1])
            return F.ctc_loss(z.log_softmax(-1).transpose(0, 1), t[0], steps, t[1])

        return Situation(filled(model), loss_fn, data, options, weights=[3, 2])

    return make


def random_field():
    """Negative log-likelihood of a linear-chain conditional random field, its transitions in the model."""
    model = Module(lambda self, x: (self.emit(x), self.move.expand(len(x), 3, 3)), emit=nn.Linear(2, 3),
                   move=free(3, 3))  # fmt: skip

    def loss_fn(z, t):
        scores, move = z
        path = scores.gather(2, t.unsqueeze(2)).sum((1, 2)) + move[0][t[:, :-1], t[:, 1:]].sum(1)
        alpha = scores[:, 0]
        for step in scores[:, 1:].unbind(1):
            alpha = (alpha.unsqueeze(2) + move).logsumexp(1) + step
        return (alpha.logsumexp(1) - path).mean()

    return plain(model, loss_fn, normal(5, 4, 2), TOKENS % 3)


def time_first_lstm():
    """Time first with one example a batch; the loss is that of sequences."""
    data = [(normal(4, 1, 2, seed=i), normal(1, 2, seed=9 + i)) for i in range(3)]
    model = filled(Module(lambda self, x: self.rnn(x)[0][-1], rnn=nn.LSTM(2, 2)))
    return Situation(model, nn.MSELoss(), data, {"num_examples": lambda b: b[0].shape[1], "split_batches": False})


CASES = [
    Case("rnn", recurrent(nn.RNN, nonlinearity="tanh")),
    Case("rnn with relu", recurrent(nn.RNN, nonlinearity="relu"), ("hessian",)),
    Case("lstm", recurrent(nn.LSTM, 1)),
    Case("gru in both directions", recurrent(nn.GRU, 1, bidirectional=True)),
    Case("lstm with projections", recurrent(nn.LSTM, 2, proj_size=1), warning="oneDNN"),
    Case("gru of two layers with dropout", recurrent(nn.GRU, 1, num_layers=2, dropout=0.5)),
    Case("rnn cell", sequence(cell, cell=lambda: nn.RNNCell(2, 2), head=head())),
    Case("lstm cell", sequence(lstm_cell, cell=lambda: nn.LSTMCell(2, 2), head=head())),
    Case("packed lstm", packed_inside(nn.LSTM)),
    Case("packed gru", packed_inside(nn.GRU)),
    Case("lstm, time first", time_first_lstm),
    Case("state space", sequence(state_space, gate=lambda: nn.Linear(2, 2), head=head())),
    Case("attention", multi_head()),
    Case("causal attention", multi_head(attn_mask=causal_mask)),
    Case("attention with padding", multi_head(key_padding_mask=padding_mask)),
    Case("scaled dot product", attention(lambda self, *qkv: F.scaled_dot_product_attention(*qkv))),
    Case("rotary attention", attention(rotary)),
    Case("attention with linear biases", attention(alibi)),
    Case("attention with relative positions", attention(relative_bias, bias=lambda: free(7))),
    Case("linear attention", attention(linear_attention)),
    Case("grouped attention", sequence(grouped, q=lambda: nn.Linear(2, 4), k=lambda: nn.Linear(2, 2),
                                       v=lambda: nn.Linear(2, 2), head=head(4))),
    Case("windowed attention", attention(windowed)),
    Case("sigmoid attention", attention(sigmoid_attention)),
    Case("hopfield attention", attention(hopfield, patterns=lambda: free(3, 2))),
    Case("cross attention", sequence(cross, q=lambda: nn.Linear(2, 2), k=lambda: nn.Linear(2, 2), head=head())),
    Case("learned query", sequence(latents, query=lambda: free(1, 2), k=lambda: nn.Linear(2, 2),
                                   v=lambda: nn.Linear(2, 2), head=head())),
    Case("transformer encoder", encoder_layer(), ("hessian", "ggn")),
    Case("transformer encoder, norm first", encoder_layer(norm_first=True, activation="gelu")),
    Case("transformer decoder", decoder_layer(), dtypes=(torch.float64,)),  # float32 loses it in the norms
    Case("language model", language(next_tokens, nn.CrossEntropyLoss())),
    Case("language model with its own loss", language(loss_of_model, lambda z, t: z), ("hessian",)),
    refused("loss of the model as outputs", "linear in them", language(loss_of_model, lambda z, t: z), ("ggn",)),
    Case("ctc, padded targets", ctc("padded"), ("hessian",), differences=True, by_differences=True),
    Case("ctc, concatenated targets", ctc("concatenated", num_examples=lambda b: len(b[0]), split_batches=False),
         ("hessian",), differences=True, by_differences=True),
    refused("ctc, concatenated targets, cut", "split_batches=|num_examples=", ctc("concatenated"),
            by_differences=True),
    Case("random field", random_field),
]  # fmt: skip
