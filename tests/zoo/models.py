"""Whole models in small: adversarial, variational, experts, vision, reinforcement, contrastive, splines, rendering."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from zoo.cases import LABELS, Case, Module, Situation, classify, filled, free, normal, pairs, plain, regress


def linear(inputs=3, outputs=3):
    return nn.Linear(inputs, outputs)


def adversarial(trained):
    """A generator and a critic, of which one is trained."""

    def forward(model, batch):
        noise, real = batch
        fake = model.generator(noise)
        return (model.critic(fake), model.critic(real)), None

    def generator_loss(z, _):
        return F.softplus(-z[0]).mean()

    def critic_loss(z, _):
        return F.softplus(z[0]).mean() + F.softplus(-z[1]).mean()

    def make():
        model = filled(Module(None, generator=nn.Sequential(linear(2), nn.Tanh(), linear()),
                              critic=nn.Sequential(linear(), nn.Tanh(), linear(3, 1))))  # fmt: skip
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(trained))
        loss_fn = generator_loss if trained == "generator" else critic_loss
        return Situation(model, loss_fn, pairs(normal(5, 2), normal(5, 3, seed=2)), {"forward": forward})

    return make


def gradient_penalty():
    """A critic whose gradient in its inputs shall have norm 1."""

    def forward(model, batch):
        real, fake, mix = batch
        with torch.enable_grad():
            x = (mix * real + (1 - mix) * fake).requires_grad_()
            slope = torch.autograd.grad(model(x).sum(), x, create_graph=True)[0]
        return (model(fake), model(real), slope.norm(dim=1)), None

    def loss_fn(z, _):
        return z[0].mean() - z[1].mean() + 10 * (z[2] - 1).square().mean()

    columns = (normal(5, 3), normal(5, 3, seed=2), normal(5, 1, seed=3).sigmoid())
    data = list(zip(*(t.split([3, 2]) for t in columns), strict=True))
    model = filled(nn.Sequential(linear(3, 4), nn.Softplus(), linear(4, 1)))
    return Situation(model, loss_fn, data, {"forward": forward}, weights=[3, 2])


def variational(model, batch):
    """The noise of the reparametrisation is in the batch."""
    x, noise = batch
    mean, log_variance = model.encoder(x).chunk(2, dim=1)
    return (model.decoder(mean + (log_variance / 2).exp() * noise), mean, log_variance), x


def evidence(z, x):
    divergence = (z[1].square() + z[2].exp() - 1 - z[2]).sum(1).mean() / 2
    return F.mse_loss(z[0], x) + 0.1 * divergence


def autoencoder():
    model = filled(Module(None, encoder=nn.Sequential(linear(), nn.Tanh(), linear(3, 4)), decoder=linear(2)))
    return Situation(model, evidence, pairs(normal(5, 3), normal(5, 2, seed=2)), {"forward": variational})


def vector_quantised(self, x):
    """A codebook with the straight-through estimator: gradients are those of a stand-in."""
    h = self.encoder(x)
    nearest = self.codes[torch.cdist(h, self.codes).argmin(1)]
    return self.decoder(h + (nearest - h).detach())


def soft_experts(self, x):
    outputs = torch.stack([expert(x).tanh() for expert in self.experts], dim=1)
    return (self.gate(x).softmax(1).unsqueeze(2) * outputs).sum(1)


def top_expert(self, x):
    """Each example goes to one expert; experts without examples are not called."""
    gates = self.gate(x).softmax(1)
    best = gates.argmax(1)
    out = x.new_zeros(len(x), 3)
    for i, expert in enumerate(self.experts):
        rows = (best == i).nonzero()[:, 0]
        if len(rows):
            out = out.index_add(0, rows, gates[rows, i, None] * expert(x[rows]).tanh())
    return out


def experts(forward, order=None):
    def make():
        parts = nn.ModuleList([linear() for _ in range(3)])
        model = filled(Module(forward, gate=linear(), experts=parts))
        x, y = normal(5, 3), LABELS
        if order is not None:  # the first batch holds the examples of one expert only
            best = model.gate(x).argmax(1)
            x, y = x[best.argsort()], y[best.argsort()]
            return Situation(model, nn.CrossEntropyLoss(), pairs(x, y, order))
        return Situation(model, nn.CrossEntropyLoss(), pairs(x, y))

    return make


def early_exit(self, x):
    """Two heads; the second sees only examples of which the first is not sure."""
    first = self.first(x)
    unsure = (first.softmax(1).amax(1) < 0.45).nonzero()[:, 0]
    return first if not len(unsure) else first.index_add(0, unsure, self.second(x[unsure].sin()))


def u_net(self, x):
    down = self.down(x).tanh()
    up = F.interpolate(self.low(F.avg_pool2d(down, 2)), scale_factor=2)
    return self.out(torch.cat([up, down], dim=1)).flatten(1)


def residual_block():
    norm = nn.BatchNorm2d(2)
    norm.running_var.copy_(torch.tensor([0.5, 2.0]))

    def forward(self, x):
        x = self.stem(x)
        return self.head((x + self.norm(self.conv(x.relu()))).mean((2, 3)))

    return plain(Module(forward, stem=nn.Conv2d(1, 2, 1), conv=nn.Conv2d(2, 2, 3, padding=1, bias=False),
                        norm=norm, head=nn.Linear(2, 3)),
                 nn.CrossEntropyLoss(), normal(5, 1, 3, 3), LABELS)  # fmt: skip


def segmentation():
    """A class for each pixel: classes in dimension 1."""
    labels = torch.arange(20).reshape(5, 2, 2) % 3
    return plain(nn.Sequential(nn.Conv2d(2, 3, 1), nn.Tanh(), nn.Conv2d(3, 3, 1)), nn.CrossEntropyLoss(),
                 normal(5, 2, 2, 2), labels)  # fmt: skip


def patches(self, x):
    """A vision transformer's start: patches, a class token, positions, attention."""
    tokens = self.cut(x).flatten(2).transpose(1, 2)
    tokens = torch.cat([self.token.expand(len(x), 1, 2), tokens], dim=1) + self.places
    tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
    return self.head(self.norm(tokens[:, 0]))


def mixer(self, x):
    x = x + self.tokens(x.transpose(1, 2)).tanh().transpose(1, 2)
    return self.head((x + self.channels(x).tanh()).mean(1))


def q_learning():
    """Temporal differences to a frozen target network."""

    def forward(model, batch):
        state, action, reward, after = batch
        with torch.no_grad():
            target = reward + 0.9 * model.target(after).amax(1)
        return model.q(state).gather(1, action[:, None])[:, 0], target

    columns = (normal(5, 3), torch.tensor([0, 1, 1, 0, 1]), normal(5, seed=2), normal(5, 3, seed=3))
    model = filled(Module(None, q=nn.Sequential(linear(), nn.Tanh(), linear(3, 2)), target=linear(3, 2)))
    model.target.requires_grad_(False)
    data = list(zip(*(t.split([3, 2]) for t in columns), strict=True))
    return Situation(model, nn.SmoothL1Loss(), data, {"forward": forward}, weights=[3, 2])


def clipped_policy(z, batch):
    actions, advantages, before = batch
    ratio = (z.log_softmax(1).gather(1, actions[:, None])[:, 0] - before).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()


def policy():
    columns = (normal(5, 3), torch.tensor([0, 1, 1, 0, 1]), normal(5, seed=2), -normal(5, seed=3).abs())
    data = [(x, tuple(rest)) for x, *rest in zip(*(t.split([3, 2]) for t in columns), strict=True)]
    return Situation(filled(linear(3, 2)), clipped_policy, data, weights=[3, 2])


def preference():
    """Direct preference optimisation: a policy against a frozen reference, pairs of answers."""

    def forward(model, batch):
        better, worse = batch
        return [model.policy(x)[:, 0] - model.reference(x)[:, 0] for x in (better, worse)], None

    model = filled(Module(None, policy=nn.Sequential(linear(), nn.Tanh(), linear(3, 1)), reference=linear(3, 1)))
    model.reference.requires_grad_(False)
    return Situation(model, lambda z, _: -F.logsigmoid(z[0] - z[1]).mean(),
                     pairs(normal(5, 3), normal(5, 3, seed=2)), {"forward": forward})  # fmt: skip


def distillation():
    def forward(model, batch):
        with torch.no_grad():
            teacher = model.teacher(batch[0])
        return model.student(batch[0]), (teacher, batch[1])

    def loss_fn(z, t):
        soft = F.kl_div((z / 2).log_softmax(1), (t[0] / 2).log_softmax(1), reduction="batchmean", log_target=True)
        return F.cross_entropy(z, t[1]) + soft

    model = filled(Module(None, student=linear(), teacher=linear()))
    model.teacher.requires_grad_(False)
    return Situation(model, loss_fn, pairs(normal(5, 3), LABELS), {"forward": forward})


def tasks():
    """Two losses of two heads, whose targets are a dictionary."""

    def loss_fn(z, t):
        return F.cross_entropy(z["class"], t["class"]) + F.mse_loss(z["size"], t["size"])

    data = [(x, {"class": y, "size": s}) for x, y, s in zip(
        *(t.split([3, 2]) for t in (normal(5, 3), LABELS, normal(5, 1, seed=2))), strict=True)]  # fmt: skip
    model = filled(Module(lambda self, x: {"class": self.a(x), "size": self.b(x.sin())}, a=linear(), b=linear(3, 1)))
    return Situation(model, loss_fn, data, weights=[3, 2])


def splines(self, x):
    """A layer of a Kolmogorov-Arnold network: a learned function on each edge, from hat functions."""
    hats = F.relu(1 - (x.unsqueeze(2).tanh() * 2 - x.new_tensor([-2.0, -1, 0, 1, 2])).abs())
    return torch.einsum("bik,iko->bo", hats, self.edges)


def rendering(self, x):
    """Volume rendering along rays: densities and colours of points, weighted by what light passes."""
    steps = torch.linspace(0, 1, 4, dtype=x.dtype)
    points = x[:, None, :] * steps[:, None]
    out = self.field(torch.cat([points.sin(), points.cos()], dim=-1))
    alpha = 1 - (-F.softplus(out[..., 0]) / 4).exp()
    light = torch.cat([torch.ones_like(alpha[:, :1]), (1 - alpha[:, :-1]).cumprod(1)], dim=1)
    return ((alpha * light).unsqueeze(2) * out[..., 1:].sigmoid()).sum(1)


def denoising():
    """A diffusion model's loss at given times and noise."""

    def forward(model, batch):
        x, time, noise = batch
        noisy = time.cos()[:, None] * x + time.sin()[:, None] * noise
        return model(torch.cat([noisy, time[:, None]], dim=1)), noise

    columns = (normal(5, 2), normal(5, seed=2).sigmoid(), normal(5, 2, seed=3))
    data = list(zip(*(t.split([3, 2]) for t in columns), strict=True))
    return Situation(filled(nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2))), nn.MSELoss(), data,
                     {"forward": forward}, weights=[3, 2])  # fmt: skip


STAND_IN = {"refusal": "differentia|derivative", "either": True}
CASES = [
    Case("generator of a gan", adversarial("generator")),
    Case("critic of a gan", adversarial("critic")),
    Case("gradient penalty", gradient_penalty, ("hessian",)),
    Case("variational autoencoder", autoencoder),
    regress("vector-quantised autoencoder", (3,), 3, lambda: Module(
        vector_quantised, encoder=linear(3, 2), codes=free(4, 2), decoder=linear(2)), operators=("hessian",),
        **STAND_IN),
    Case("soft mixture of experts", experts(soft_experts)),
    Case("top expert", experts(top_expert)),
    Case("top expert, not used in the first batch", experts(top_expert, (1, 4)), ("hessian", "ggn", "fisher")),
    classify("early exit", (3,), lambda: [Module(early_exit, first=linear(), second=linear())]),
    regress("u-net", (1, 4, 4), 16, lambda: Module(u_net, down=nn.Conv2d(1, 2, 1), low=nn.Conv2d(2, 2, 1),
                                                   out=nn.Conv2d(4, 1, 1))),
    Case("residual block with batch norm", residual_block),
    Case("segmentation", segmentation, ("hessian", "ggn", "fisher")),
    classify("vision transformer", (1, 2, 2), lambda: [Module(
        patches, cut=nn.Conv2d(1, 2, 1), token=free(1, 1, 2), places=free(5, 2), norm=nn.LayerNorm(2),
        attention=nn.MultiheadAttention(2, 1, batch_first=True, bias=False), head=linear(2))]),
    classify("mixer", (4, 3), lambda: [Module(mixer, tokens=linear(4, 4), channels=linear(), head=linear())]),
    Case("q-learning", q_learning),
    Case("clipped policy gradient", policy, ("hessian",)),
    Case("preference optimisation", preference),
    Case("distillation", distillation),
    Case("two tasks in dictionaries", tasks),
    classify("kolmogorov-arnold layer", (3,), lambda: [Module(splines, edges=free(3, 5, 3))]),
    regress("sine network", (2,), 1, lambda: Module(lambda self, x: self.b((3 * self.a(x)).sin()), a=linear(2, 5),
                                                    b=linear(5, 1))),
    regress("volume rendering", (2,), 3, lambda: Module(rendering, field=linear(4, 4))),
    Case("diffusion", denoising),
    classify("highway", (3,), lambda: [Module(
        lambda self, x: (g := self.gate(x).sigmoid()) * self.h(x).tanh() + (1 - g) * x, gate=linear(), h=linear())]),
    classify("dense connections", (3,), lambda: [Module(
        lambda self, x: self.c(torch.cat([x, a := self.a(x).tanh(), self.b(torch.cat([x, a], 1)).tanh()], 1)),
        a=linear(3, 2), b=linear(5, 2), c=linear(7))]),
    regress("neural additive model", (3,), 1, lambda: Module(
        lambda self, x: sum(f(x[:, i : i + 1]).tanh() for i, f in enumerate(self.f)), f=nn.ModuleList(
            [linear(1, 1) for _ in range(3)]))),
]  # fmt: skip
