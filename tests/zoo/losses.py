"""Losses: those of torch.nn, written by hand, with parameters of the model, and of whole batches."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from zoo import reference
from zoo.cases import LABELS, Case, Module, Situation, filled, free, normal, pairs, plain, refused

SIGNS = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])
BITS = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 0, 0]])


def net(outputs=3):
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs))


def loss(name, loss_fn, targets, outputs=3, operators=("hessian", "ggn"), last=None, **keywords):
    """Return a case of a loss of the outputs of a small network; ``targets`` is called in the dtype of the case."""

    def make():
        model = nn.Sequential(*net(outputs), *([] if last is None else [last()]))
        return plain(model, loss_fn() if isinstance(loss_fn, type) else loss_fn, normal(5, 3), targets())

    return Case(name, make, operators, **keywords)


def labels():
    return LABELS


def numbers():
    return normal(5, 3, seed=1)


def positive():
    return normal(5, 3, seed=1).square()


def bits():
    return BITS.to(torch.get_default_dtype())


def signs():
    return SIGNS.to(torch.get_default_dtype())


def probabilities():
    return normal(5, 3, seed=1).softmax(dim=1)


def log_cosh(z, t):
    return (z - t).cosh().log().mean()


def quantile(z, t):
    return torch.maximum(0.3 * (t - z), -0.7 * (t - z)).square().mean()


def evidential(z, t):
    alpha = 1 + F.softplus(z)
    return (alpha.sum(1).digamma() - alpha.gather(1, t[:, None])[:, 0].digamma()).mean()


def dice(z, t):
    p = z.sigmoid()
    return (1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)).mean()


def root_mean_square(z, t):
    return F.mse_loss(z, t).sqrt()


def gaussian():
    """Outputs are a pair: means and variances."""
    model = Module(lambda self, x: (self.mean(x), F.softplus(self.spread(x))), mean=nn.Linear(3, 2),
                   spread=nn.Linear(3, 2))  # fmt: skip
    return plain(model, lambda z, t: F.gaussian_nll_loss(z[0], t, z[1]), normal(5, 3), normal(5, 2, seed=1))


def triplet(function):
    def make():
        model = Module(lambda self, x: tuple(self.embed(part) for part in x.unbind(1)), embed=nn.Linear(3, 2))
        return plain(model, lambda z, t: function(*z), normal(5, 3, 3), LABELS)

    return make


def mixture_density():
    """Negative log-likelihood of a mixture of two normals, by torch.distributions."""

    def nll(z, t):
        mixture = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=z[:, :2], validate_args=False),
            torch.distributions.Normal(z[:, 2:4], F.softplus(z[:, 4:]), validate_args=False),
            validate_args=False,
        )
        return -mixture.log_prob(t).mean()

    return plain(net(6), nll, normal(5, 3), normal(5, seed=1))


def penalised(loss_fn_of, model=None, **keywords):
    """Return a maker of a situation whose loss function reads the model."""

    def make():
        network = filled(net() if model is None else model())
        return Situation(network, loss_fn_of(network), pairs(normal(5, 3), LABELS), **keywords)

    return make


def weight_decay(model):
    return lambda z, t: F.cross_entropy(z, t) + 0.5 * sum(p.square().sum() for p in model.parameters())


def quartic(model):
    return lambda z, t: F.cross_entropy(z, t) + sum(p.pow(4).sum() for p in model.parameters())


def smallest_penalty():
    """The smallest case: mse + 5 w², of curvature 2 + 10."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    ones = torch.ones(2, 1)
    return Situation(
        model, lambda z, t: F.mse_loss(z, t) + 5 * model.weight.square().sum(), [(ones, 0 * ones)], weights=[2]
    )


def orthogonality(model):
    def loss_fn(z, t):
        w = model[0].weight
        return F.cross_entropy(z, t) + (w.T @ w - torch.eye(3, dtype=w.dtype)).square().sum()

    return loss_fn


def head_in_loss():
    model = filled(nn.ModuleDict({"body": nn.Linear(3, 3), "head": nn.Linear(3, 3)}))
    return Situation(
        model, lambda z, t: F.cross_entropy(model["head"](z.tanh()), t), pairs(normal(5, 3), LABELS),
        {"forward": lambda model, batch: (model["body"](batch[0]), batch[1])},
    )  # fmt: skip


def learned_weights():
    """Two tasks weighed by learned uncertainties, which the loss function reads: 0-dimensional parameters."""
    model = filled(Module(lambda self, x: self.linear(x), linear=nn.Linear(3, 2), s=free(), t=free()))

    def loss_fn(z, t):
        errors = (z - t).square().mean(dim=0)
        return (errors[0] * (-model.s).exp() + errors[1] * (-model.t).exp() + model.s + model.t).mean()

    return Situation(model, loss_fn, pairs(normal(5, 3), normal(5, 2, seed=1)))


def penalty_of_unused():
    """A parameter that only the penalty uses."""
    model = filled(Module(lambda self, x: self.linear(x), linear=nn.Linear(3, 3), prior=free(2)))
    return Situation(model, lambda z, t: F.cross_entropy(z, t) + model.prior.cosh().sum(), pairs(normal(5, 3), LABELS))


def penalty_as_output():
    """The penalty is an output of the forward pass: how a model with a penalty gets its Gauss-Newton matrix."""

    def forward(model, batch):
        return (model(batch[0]), torch.stack([p.square().sum() for p in model.parameters()])), batch[1]

    return Situation(filled(net()), lambda z, t: F.mse_loss(z[0], t) + z[1].square().sum(),
                     pairs(normal(5, 3), normal(5, 3, seed=1)), {"forward": forward})  # fmt: skip


def own_parameters():
    """A loss module with parameters of its own, which are not the model's: constants."""
    criterion = filled(Module(lambda self, z, t: F.cross_entropy(self.scale * z, t), scale=free(3)))
    return Situation(filled(net()), criterion, pairs(normal(5, 3), LABELS))


def backward_inside():
    """The loss function fills the gradients of the parameters."""

    def loss_fn(z, t):
        value = F.cross_entropy(z, t)
        value.backward(retain_graph=True)
        return value

    return Situation(filled(net()), loss_fn, pairs(normal(5, 3), LABELS), twin_loss=F.cross_entropy)


def of_batch(loss_fn, **options):
    """Return a maker of a situation whose loss couples the examples of a batch."""

    def make():
        return Situation(filled(nn.Linear(3, 4)), loss_fn, pairs(normal(8, 3), torch.arange(8) % 2, (4, 4)), options)

    return make


def info_nce(z, t):
    z = F.normalize(z, dim=1)
    logits = z @ z.roll(1, 1).T / 0.5
    return F.cross_entropy(logits, torch.arange(len(z)))


def supervised_contrastive(z, t):
    z = F.normalize(z, dim=1)
    similarity = (z @ z.T).fill_diagonal_(-30.0)
    same = (t[:, None] == t).to(z.dtype).fill_diagonal_(0)
    return -(similarity.log_softmax(1) * same).sum() / same.sum().clamp_min(1)


def barlow_twins(z, t):
    z = (z - z.mean(0)) / (z.std(0) + 0.1)
    return (z.T @ z / len(z) - torch.eye(4, dtype=z.dtype)).square().sum()


class BarlowTwins(nn.Module):
    """Standardises by a layer that keeps running statistics."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4, eps=0.1, affine=False)

    def forward(self, z, t):
        z = self.norm(z)
        return (z.T @ z / len(z) - torch.eye(4, dtype=z.dtype)).square().sum()


READS = r"loss_fn.*parameter|parameter.*loss_fn"
WHOLE = {"split_batches": False}
CASES = [
    loss("mse", nn.MSELoss, numbers, operators=("hessian", "ggn", "fisher", "empirical")),
    loss("cross-entropy", nn.CrossEntropyLoss, labels, operators=("hessian", "ggn", "fisher", "empirical")),
    loss("cross-entropy of probabilities", nn.CrossEntropyLoss, probabilities),
    loss("label smoothing", nn.CrossEntropyLoss(label_smoothing=0.1), labels),
    loss("log-probabilities", nn.NLLLoss, labels, last=lambda: nn.LogSoftmax(1),
         operators=("hessian", "fisher", "empirical")),
    loss("bce with logits", nn.BCEWithLogitsLoss, bits, operators=("hessian", "ggn", "fisher")),
    loss("bce", nn.BCELoss, bits, last=nn.Sigmoid),
    loss("poisson", nn.PoissonNLLLoss, positive),
    loss("kl divergence", nn.KLDivLoss(reduction="batchmean"), probabilities, last=lambda: nn.LogSoftmax(1),
         operators=("hessian",)),
    loss("huber", nn.HuberLoss, numbers),
    loss("smooth l1", nn.SmoothL1Loss(beta=2.0), numbers),
    loss("l1", nn.L1Loss, numbers, operators=("hessian",)),
    loss("multi-label soft margin", nn.MultiLabelSoftMarginLoss, bits),
    loss("soft margin", nn.SoftMarginLoss, lambda: 2 * bits() - 1),
    loss("multi margin", nn.MultiMarginLoss(p=2), labels, operators=("hessian",), differences=True,
         by_differences=True),
    loss("hinge embedding", nn.HingeEmbeddingLoss, lambda: 2 * bits() - 1, operators=("hessian",)),
    loss("focal", reference.focal, labels),
    loss("log-cosh", log_cosh, numbers),
    loss("squared quantile", quantile, numbers),
    loss("evidential", evidential, labels),
    loss("dice of each example", dice, bits),
    loss("loss in float64", lambda z, t: F.cross_entropy(z.double(), t), labels),
    Case("gaussian nll", gaussian),
    Case("mixture density", mixture_density),
    Case("triplet", triplet(lambda a, p, n: F.triplet_margin_loss(a, p, n, margin=5.0)), ("hessian",)),
    Case("cosine embedding", triplet(lambda a, p, n: 1 - F.cosine_similarity(a, p).mean()), ("hessian",)),
    Case("loss with parameters of its own", own_parameters, warning="Parameters of loss_fn are constants"),
    Case("loss that calls backward", backward_inside, ("hessian",)),
    refused("linear loss", "linear in them", lambda: plain(net(), nn.L1Loss(), normal(5, 3), numbers()),
            ("ggn",)),
    refused("sum", "must return the mean", lambda: plain(net(), nn.CrossEntropyLoss(reduction="sum"), normal(5, 3),
                                                         LABELS), ("hessian", "ggn", "fisher")),
    refused("sum by hand", "add up", lambda: plain(net(), lambda z, t: (z - t).square().sum(), normal(5, 3),
                                                   numbers())),
    refused("no scalar", "must be a scalar", lambda: plain(net(), lambda z, t: (z - t).square().mean(1), normal(5, 3),
                                                           numbers())),
    refused("root mean square", "num_examples=|split_batches=|mean",
            lambda: plain(net(), root_mean_square, normal(5, 3), numbers())),
    Case("weight decay in the loss", penalised(weight_decay), ("hessian",), refusal=READS, either=True),
    Case("smallest penalty", smallest_penalty, ("hessian", "ggn"), refusal=READS, either=True),
    Case("quartic penalty in the loss", penalised(quartic), ("hessian",), refusal=READS, either=True),
    Case("orthogonality in the loss", penalised(orthogonality), ("hessian",), refusal=READS, either=True),
    Case("head in the loss", head_in_loss, ("hessian",), refusal=READS, either=True),
    Case("learned weights of tasks", learned_weights, ("hessian",), refusal=READS, either=True),
    Case("penalty of an unused parameter", penalty_of_unused, ("hessian",), refusal=READS, either=True),
    Case("penalty as an output", penalty_as_output),
    refused("contrastive, cut", "num_examples=|split_batches=", of_batch(info_nce), ("hessian", "ggn")),
    Case("contrastive, whole batches", of_batch(info_nce, **WHOLE)),
    Case("supervised contrastive", of_batch(supervised_contrastive, **WHOLE)),
    Case("barlow twins", of_batch(barlow_twins, **WHOLE)),
    Case("barlow twins with running statistics", lambda: of_batch(BarlowTwins(), **WHOLE)()),
]  # fmt: skip
