"""Functions of torch inside a model: linear algebra, indexing, sorting, transforms, complex numbers, control flow."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from zoo.cases import LABELS, Case, Module, Situation, classify, free, normal, pairs, plain, refused


def between(name, function, hidden=4, outputs=4, **keywords):
    """Return a case of a function between two linear layers."""
    return classify(
        name,
        (3,),
        lambda: [nn.Linear(3, hidden), Module(lambda self, x: function(x)), nn.Linear(outputs, 3)],
        **keywords,
    )


def square(x):
    """Return a positive definite 2x2 matrix for each row of four."""
    a = x.view(-1, 2, 2)
    return a @ a.transpose(1, 2) + torch.eye(2, dtype=x.dtype)


def tree(x):
    """Return what depends on the signs of single entries, by Python's own control flow."""
    rows = [row.sin() if float(row.detach().sum()) > 0 else row.cos() for row in x]
    return torch.stack(rows)


def by_numpy(x):
    """Return the rows in an order that NumPy found."""
    order = np.argsort(x.detach().numpy(), axis=1)
    return x.gather(1, torch.from_numpy(order))


def scatter(x):
    index = torch.tensor([0, 1, 0, 1])
    return torch.zeros(len(x), 2, dtype=x.dtype).index_add(1, index, x.square())


def scatter_softmax(x):
    index = torch.tensor([0, 1, 0, 1])
    e = x.exp()
    sums = torch.zeros(len(x), 2, dtype=x.dtype).index_add(1, index, e)
    return e / sums[:, index]


def triangular(x):
    rows, columns = torch.tril_indices(2, 2)
    lower = torch.zeros(len(x), 2, 2, dtype=x.dtype)
    lower[:, rows, columns] = x[:, :3]
    return lower.exp().flatten(1)


def complex_layer(inputs=lambda real, imaginary: real):
    """Return a maker of a model with complex weights only, of real or complex inputs."""

    def make():
        weight = nn.Parameter(torch.complex(normal(2, 3, seed=2), normal(2, 3, seed=3)))
        model = Module(lambda self, x: (x.to(self.weight.dtype) @ self.weight).abs().square(), weight=weight)
        return Situation(model, nn.CrossEntropyLoss(), pairs(inputs(normal(5, 2), normal(5, 2, seed=9)), LABELS))

    return make


def real_pairs():
    """Complex weights stored as pairs of reals: an ordinary model."""

    def forward(self, x):
        z = x.to(torch.complex128 if x.dtype == torch.float64 else torch.complex64) @ torch.view_as_complex(self.weight)
        return self.head(z.abs().square())

    return plain(
        Module(forward, weight=free(2, 2, 2), head=nn.Linear(2, 3)), nn.CrossEntropyLoss(), normal(5, 2), LABELS
    )


def complex_inputs():
    def forward(self, z):
        return self.head(torch.cat([(z * self.scale).real, (z * self.scale).imag.square()], dim=1))

    inputs = torch.complex(normal(5, 2, seed=2), normal(5, 2, seed=3))
    return plain(Module(forward, scale=free(2), head=nn.Linear(4, 3)), nn.CrossEntropyLoss(), inputs, LABELS)


def differentiates(function):
    """Return a situation whose forward pass differentiates an inner network in its inputs."""
    inner = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    model = Module(lambda self, x: self.head(function(self.inner, x)), inner=inner, head=nn.Linear(2, 3))
    return plain(model, nn.CrossEntropyLoss(), normal(5, 2), LABELS)


def inner_gradient(network, x):
    with torch.enable_grad():
        x = x.detach().requires_grad_() if not x.requires_grad else x
        return torch.autograd.grad(network(x).sum(), x, create_graph=True)[0]


def random_forward(scale):
    return lambda: plain(
        Module(lambda self, x: self.linear(x + scale * torch.randn_like(x)), linear=nn.Linear(3, 3)),
        nn.CrossEntropyLoss(),
        normal(5, 3),
        LABELS,
    )


def seeded_forward():
    def forward(self, x):
        noise = torch.randn(3, generator=torch.Generator().manual_seed(3), dtype=torch.float64).float()
        return self.linear(x + noise.to(x.dtype))

    return plain(Module(forward, linear=nn.Linear(3, 3)), nn.CrossEntropyLoss(), normal(5, 3), LABELS)


def infinite():
    model = nn.Linear(3, 1, bias=False)
    situation = plain(model, lambda z, t: z.abs().pow(1.5).mean(), normal(5, 3), normal(5, 1))
    model.weight.data.zero_()
    return situation


def detached():
    """Targets made by the model itself without gradients: what autograd differentiates is a part of the loss."""

    def loss(z, t):
        return F.mse_loss(z[0], z[1].detach())

    model = Module(lambda self, x: (self.a(x), self.b(x)), a=nn.Linear(3, 2), b=nn.Linear(3, 2))
    situation = plain(model, loss, normal(5, 3), LABELS)
    model.b.requires_grad_(False)
    return situation


def action_mask():
    """Logits of which some are never taken, as of the moves that a game forbids."""
    mask = torch.tensor([0.0, 0.0, -torch.inf, 0.0, 0.0])
    layers = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 5))
    return plain(Module(lambda self, x: self.layers(x) + self.mask, layers=layers, mask=mask),
                 nn.CrossEntropyLoss(), normal(5, 3), torch.tensor([0, 1, 3, 4, 0]))  # fmt: skip


def watched(watch):
    """Return a maker of a model that asks for gradients of what is inside, for whoever calls backward."""

    def forward(self, x):
        h = self.a(x).tanh()
        watch(h)
        return self.b(h)

    def make():
        model = Module(forward, a=nn.Linear(3, 3), b=nn.Linear(3, 3))
        return plain(model, nn.CrossEntropyLoss(), normal(5, 3), LABELS)

    return make


REAL = r"complex parameter|parameters? .*complex|must be real"
CASES = [
    between("matrix exponential", lambda x: torch.linalg.matrix_exp(x.view(-1, 2, 2)).flatten(1)),
    between("inverse", lambda x: torch.linalg.inv(square(x)).flatten(1)),
    between("solve", lambda x: torch.linalg.solve(square(x), x.view(-1, 2, 2)).flatten(1)),
    between("cholesky", lambda x: torch.linalg.cholesky(square(x)).flatten(1)),
    between("log determinant", lambda x: torch.linalg.slogdet(square(x))[1].unsqueeze(1), outputs=1),
    between("eigenvalues", lambda x: torch.linalg.eigvalsh(square(x)), outputs=2),
    between("singular values", lambda x: torch.linalg.svdvals(square(x)), outputs=2),
    between("qr", lambda x: torch.linalg.qr(square(x))[1].flatten(1)),
    between("norms", lambda x: torch.stack([x.norm(dim=1), x.norm(p=3, dim=1), x.abs().amax(1)], 1), outputs=3),
    between("distances", lambda x: torch.cdist(x.unsqueeze(1), x.new_ones(1, 2, 4) * 0.3).squeeze(1), outputs=2,
            **({"differences": True, "by_differences": True} if torch.__version__ < (2, 14) else {})),
    between("einsum", lambda x: torch.einsum("bi,bj->bij", x[:, :2], x[:, 2:]).flatten(1)),
    between("sort", lambda x: x.sort(dim=1).values),
    between("top k and gather", lambda x: x.gather(1, x.topk(2, dim=1).indices).exp(), outputs=2),
    between("median and quantile", lambda x: torch.stack([x.median(1).values, x.quantile(0.3, dim=1)], 1).sinh(),
            outputs=2),
    between("cumulative sums and products", lambda x: x.cumsum(1) * x.cumprod(1)),
    between("product with a zero", lambda x: (x * x.new_tensor([1, 1, 0, 1])).prod(1, keepdim=True), outputs=1),
    between("log-sum-exp", lambda x: torch.logcumsumexp(x, dim=1)),
    between("clamp and where", lambda x: torch.where(x > 0, x.square(), x.clamp(-0.5, 0.5))),
    between("index add", scatter, outputs=2),
    between("softmax over segments", scatter_softmax),
    between("masked fill", lambda x: x.masked_fill(x < -0.2, 0.1).tan()),
    between("index put", triangular),
    between("fourier transform", lambda x: torch.fft.rfft(x).abs().square(), outputs=3),
    between("convolution by fourier", lambda x: torch.fft.irfft(torch.fft.rfft(x) * torch.fft.rfft(x.tanh()), n=4)),
    between("special functions", lambda x: torch.special.erf(x) + torch.special.i0(x) + torch.lgamma(x.square() + 1)),
    between("rounding", lambda x: x.square() + x.round() + x.sign()),
    between("flips, rolls and windows", lambda x: x.roll(1, 1).flip(1).unfold(1, 2, 1).prod(2), outputs=3),
    between("control flow by values", tree),
    between("order found by numpy", by_numpy),
    between("vmap in forward", lambda x: torch.vmap(lambda row: torch.outer(row, row).sum(0).sin())(x)),
    between("jacobian in forward", lambda x: torch.vmap(torch.func.jacrev(lambda r: r.sin() * r.sum()))(x).sum(2)),
    Case("complex weights", complex_layer(), ("hessian", "ggn"), refusal=REAL, either=True),
    Case("complex weights and inputs", complex_layer(torch.complex), ("hessian", "ggn"), refusal=REAL, either=True),
    Case("complex weights as pairs of reals", real_pairs),
    Case("complex inputs", complex_inputs),
    Case("gradient in forward", lambda: differentiates(inner_gradient)),
    refused("noise in forward", "must not be random", random_forward(1.0), ("hessian", "ggn")),
    Case("noise that does nothing", random_forward(0.0), ("hessian",)),
    Case("noise from a seed", seeded_forward),
    refused("infinite second derivative", "second derivative of the loss must be finite", infinite),
    Case("frozen teacher", detached),
    Case("action mask", action_mask, ("hessian", "ggn", "fisher")),
    Case("gradients of activations kept", watched(lambda h: h.retain_grad())),
    Case("hooks set on activations", watched(lambda h: h.register_hook(lambda gradient: None))),
]  # fmt: skip
