"""Physics-informed networks, differential equations, equilibria, implicit layers, flows and processes."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from zoo.cases import LABELS, Case, Module, Situation, filled, free, normal, pairs, plain, refused


def small(inputs=2, outputs=1):
    return nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, outputs))


def residual_by_autograd(self, x):
    """Residual of the heat equation, its derivatives by ``torch.autograd.grad``."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        u = self.u(x)
        first = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        second = torch.autograd.grad(first[:, 0].sum(), x, create_graph=True)[0][:, 0]
    return first[:, 1] - 0.3 * second


def residual_by_func(self, x):
    """The same by ``torch.func``."""

    def u(point):
        return self.u(point).squeeze(0)

    first = torch.func.vmap(torch.func.grad(u))(x)
    second = torch.func.vmap(torch.func.hessian(u))(x)[:, 0, 0]
    return first[:, 1] - 0.3 * second


def physics(residual):
    return lambda: plain(Module(residual, u=small()), nn.MSELoss(), normal(5, 2), normal(5, seed=1))


def with_coefficient():
    """An inverse problem: the coefficient of the equation is learned too, a 0-dimensional parameter."""

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            slope = torch.autograd.grad(self.u(x).sum(), x, create_graph=True)[0]
        return slope[:, 1] - self.speed * slope[:, 0]

    return plain(Module(forward, u=small(), speed=free()), nn.MSELoss(), normal(5, 2), normal(5, seed=1))


def boundary_and_interior():
    """Two kinds of points in a batch, as many of each, with a loss for each."""

    def forward(model, batch):
        inside, border, y = batch
        return (residual_by_autograd(model, inside), model.u(border)[:, 0]), y

    data = list(zip(*(t.split([3, 2]) for t in (normal(5, 2), normal(5, 2, seed=2), normal(5, seed=3))), strict=True))
    return Situation(filled(Module(None, u=small())), lambda z, y: z[0].square().mean() + F.mse_loss(z[1], y),
                     data, {"forward": forward}, weights=[3, 2])  # fmt: skip


def hamiltonian():
    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            slope = torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0]
        return torch.stack([slope[:, 1], -slope[:, 0]], dim=1)

    return plain(Module(forward, energy=small()), nn.MSELoss(), normal(5, 2), normal(5, 2, seed=1))


def runge_kutta(self, x):
    field, h = self.field, 0.25
    for _ in range(3):
        k1 = field(x)
        k2 = field(x + h / 2 * k1)
        k3 = field(x + h / 2 * k2)
        x = x + h / 6 * (k1 + 4 * k3 + field(x + h * k3))
    return x


class Adjoint(torch.autograd.Function):
    """Euler steps whose gradient is computed backwards in time, without a graph: differentiable once only."""

    @staticmethod
    def forward(ctx, x, weight):
        states = [x]
        with torch.no_grad():
            for _ in range(3):
                states.append(states[-1] + 0.3 * torch.tanh(states[-1] @ weight.T))
        ctx.save_for_backward(weight, *states)
        return states[-1]

    @staticmethod
    def backward(ctx, a):
        weight, *states = ctx.saved_tensors
        with torch.no_grad():
            slope = torch.zeros_like(weight)
            for x in reversed(states[:-1]):
                inner = 0.3 * a * (1 - torch.tanh(x @ weight.T).square())
                slope += inner.T @ x
                a = a + inner @ weight
        return a, slope


def euler(self, x):
    for _ in range(3):
        x = x + 0.3 * torch.tanh(x @ self.weight.T)
    return self.head(x)


def adjoint():
    def model(forward):
        return filled(Module(forward, weight=free(2, 2), head=nn.Linear(2, 2)))

    return Situation(model(lambda self, x: self.head(Adjoint.apply(x, self.weight))), nn.MSELoss(),
                     pairs(normal(5, 2), normal(5, 2, seed=1)), twin=model(euler))  # fmt: skip


def iterate(self, x, steps=60):
    z = torch.zeros_like(x)
    for _ in range(steps):
        z = torch.tanh(z @ self.weight.T * 0.3 + self.inject(x))
    return z


def unrolled(self, x):
    return self.head(iterate(self, x))


def hooked(self, x):
    """The usual equilibrium model: one step with a graph, and a hook that solves for the gradient."""
    with torch.no_grad():
        fixed = iterate(self, x)
    z = torch.tanh(fixed @ self.weight.T * 0.3 + self.inject(x))
    if z.requires_grad:
        with torch.enable_grad():
            start = z.detach().requires_grad_()
            step = torch.tanh(start @ self.weight.T * 0.3 + self.inject(x).detach())

        def solve(gradient):
            g = gradient
            for _ in range(60):
                g = torch.autograd.grad(step, start, g, retain_graph=True)[0] + gradient
            return g

        z.register_hook(solve)
    return self.head(z)


def equilibrium(forward):
    def make():
        def model(function):
            return filled(Module(function, weight=free(2, 2), inject=nn.Linear(2, 2), head=nn.Linear(2, 2)))

        return Situation(model(forward), nn.MSELoss(), pairs(normal(5, 2), normal(5, 2, seed=1)), twin=model(unrolled))

    return make


def implicit(self, x):
    """The minimum of a quadratic, by a linear solve."""
    matrix = self.root @ self.root.T + torch.eye(2, dtype=x.dtype)
    return self.head(torch.linalg.solve(matrix, self.inject(x).T).T)


def newton(self, x):
    """A root by Newton steps, each of them differentiated."""
    aim = self.inject(x)
    y = torch.ones_like(aim)
    for _ in range(5):
        y = y - (y**3 + y - aim) / (3 * y.square() + 1)
    return y


def coupling_flow():
    """A normalising flow of two affine couplings: the loss is the negative log-likelihood of the inputs."""

    def forward(model, batch):
        a, b = batch[0].unbind(1)
        logs = 0
        for net in model.nets:
            scale, shift = net(a.unsqueeze(1)).unbind(1)
            a, b, logs = b * scale.tanh().exp() + shift, a, logs + scale.tanh()
        return torch.stack([a, b, logs], dim=1), batch[1]

    nets = nn.ModuleList([nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 2)) for _ in range(2)])
    model = filled(Module(None, nets=nets))
    return Situation(model, lambda z, _: (z[:, :2].square().sum(1) / 2 - z[:, 2]).mean(),
                     pairs(normal(5, 2), LABELS), {"forward": forward})  # fmt: skip


def gaussian_process():
    """Deep kernel learning: the marginal likelihood of a batch, with 0-dimensional scales."""

    def forward(model, batch):
        x, y = batch
        h = model.features(x)
        kernel = (model.scale - (h.unsqueeze(1) - h).square().sum(2)).exp() + model.noise.exp() * torch.eye(
            len(x), dtype=x.dtype
        )
        return kernel, y

    def loss_fn(kernel, y):
        root = torch.linalg.cholesky(kernel)
        return (torch.cholesky_solve(y[:, None], root)[:, 0] @ y / 2 + root.diagonal().log().sum()) / len(y)

    model = filled(Module(None, features=nn.Linear(2, 2), scale=free(), noise=free()))
    return Situation(model, loss_fn, pairs(normal(8, 2), normal(8, seed=1), (4, 4)),
                     {"forward": forward, "split_batches": False})  # fmt: skip


def kalman(self, x):
    """A scalar Kalman filter over time, with learned variances."""
    mean, spread, losses = x.new_zeros(len(x)), x.new_ones(len(x)), []
    for y in x.unbind(1):
        mean, spread = self.move * mean, self.move.square() * spread + self.q.exp()
        total = spread + self.r.exp()
        losses.append((y - mean).square() / total + total.log())
        mean, spread = mean + spread / total * (y - mean), spread * self.r.exp() / total
    return torch.stack(losses, 1)


def inner_step():
    """Meta-learning: a gradient step on support examples inside the forward pass."""

    def forward(model, batch):
        support, labels, query, y = batch
        with torch.enable_grad():
            w = model.w
            for _ in range(2):
                loss = F.mse_loss((support @ w).tanh(), labels)
                w = w - 0.5 * torch.autograd.grad(loss, w, create_graph=True)[0]
        return (query @ w).tanh(), y

    data = [(normal(4, 3, seed=i), normal(4, 2, seed=5 + i), normal(4, 3, seed=9 + i), normal(4, 2, seed=12 + i))
            for i in range(2)]  # fmt: skip
    model = filled(Module(None, w=free(3, 2)))
    return Situation(model, nn.MSELoss(), data, {"forward": forward, "split_batches": False}, weights=[4, 4])


ONCE = {"differences": True, "either": True}
CASES = [
    Case("heat equation by autograd", physics(residual_by_autograd)),
    Case("heat equation by torch.func", physics(residual_by_func)),
    Case("inverse problem", with_coefficient),
    Case("boundary and interior", boundary_and_interior),
    Case("hamiltonian network", hamiltonian),
    Case("ode by runge-kutta", lambda: plain(
        Module(runge_kutta, field=small(2, 2)), nn.MSELoss(), normal(5, 2), normal(5, 2, seed=1))),
    Case("ode by its adjoint", adjoint, ("hessian",), refusal="differentia|derivative", **ONCE),
    Case("ode by its adjoint, gauss-newton", adjoint, ("ggn",), refusal="differentia|derivative|forward", either=True),
    Case("equilibrium, unrolled", equilibrium(unrolled)),
    Case("equilibrium with a hook", equilibrium(hooked), ("hessian",), differences=True),
    refused("equilibrium with a hook, gauss-newton", r"custom functions: .*solve on a tensor.* Use hessian_operator",
            equilibrium(hooked), ("ggn",)),
    Case("implicit layer", lambda: plain(
        Module(implicit, root=free(2, 2), inject=nn.Linear(3, 2), head=nn.Linear(2, 3)), nn.CrossEntropyLoss(),
        normal(5, 3), LABELS)),
    Case("newton steps", lambda: plain(
        Module(newton, inject=nn.Linear(3, 2)), nn.MSELoss(), normal(5, 3), normal(5, 2, seed=1))),
    Case("normalising flow", coupling_flow),
    Case("deep kernel", gaussian_process),
    Case("kalman filter", lambda: plain(
        Module(kalman, move=free(), q=free(), r=free()), lambda z, t: z.mean(), normal(5, 4), LABELS), ("hessian",)),
    Case("meta-learning", inner_step),
]  # fmt: skip
