"""Layers of torch.nn, one or a few at a time."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from zoo.cases import LABELS, Case, Module, Situation, classify, filled, free, normal, pairs, plain, refused, regress


def units():
    """Return a case for each of torch's smooth units, and those that are linear in pieces."""
    kinds = {
        "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "celu": nn.CELU, "selu": nn.SELU, "gelu": nn.GELU,
        "gelu tanh": lambda: nn.GELU("tanh"), "silu": nn.SiLU, "mish": nn.Mish, "softplus": nn.Softplus,
        "softsign": nn.Softsign, "hardswish": nn.Hardswish, "logsigmoid": nn.LogSigmoid, "tanhshrink": nn.Tanhshrink,
        "softshrink": nn.Softshrink, "hardtanh": nn.Hardtanh, "silu in place": lambda: nn.SiLU(inplace=True),
        "threshold": lambda: nn.Threshold(0.1, 0.2), "rrelu": nn.RReLU, "prelu": lambda: nn.PReLU(4),
    }  # fmt: skip
    return [
        classify(f"unit {name}", (3,), lambda kind=kind: [nn.Linear(3, 4), kind(), nn.Linear(4, 3)],
                 operators=("hessian",))
        for name, kind in kinds.items()
    ]  # fmt: skip


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        x = x + 0.5 * torch.tanh(self.first(x))
        x = x - torch.sigmoid(self.second(x))
        return self.head(x)


class InPlace(nn.Module):
    """Writes to its activations, as memory-saving code does."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        h = h.clone()
        h += 1
        h *= 0.5
        h[:, 0] = h[:, 0].exp()
        return F.relu(self.second(h), inplace=True) + 0.1


def batch_norm(training=False, **keywords):
    model = filled(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, **keywords), nn.Tanh(), nn.Linear(4, 3)))
    if not keywords:
        model[1].running_mean.copy_(normal(4, seed=3))
        model[1].running_var.copy_(1 + normal(4, seed=4).square())
    return Situation(model.train(training), nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS))


def dropout(training):
    model = filled(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 3)))
    return Situation(model.train(training), nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS))


def idle_dropout():
    model = filled(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.0), nn.Tanh(), nn.Linear(4, 3))).train()
    return Situation(model, nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS))


def spatial_transformer():
    def forward(self, x):
        grid = F.affine_grid(self.theta(x.flatten(1)).view(-1, 2, 3) * 0.1, x.shape, align_corners=False)
        return self.head(F.grid_sample(x, grid, align_corners=False).flatten(1))

    return plain(
        Module(forward, theta=nn.Linear(4, 6), head=nn.Linear(4, 2)), nn.MSELoss(), normal(5, 1, 2, 2), normal(5, 2)
    )


CASES = [
    *units(),
    classify("linear", (4,), lambda: [nn.Linear(4, 3)]),
    regress("linear without bias", (4,), 2, lambda: nn.Linear(4, 2, bias=False)),
    classify("residual", (3,), lambda: [Residual()]),
    classify("in-place operations on activations", (3,), lambda: [InPlace()]),
    regress("bilinear", (3,), 2, lambda: Module(lambda self, x: self.layer(x, x.sin()), layer=nn.Bilinear(3, 3, 2))),
    classify("glu", (3,), lambda: [nn.Linear(3, 6), nn.GLU(), nn.Linear(3, 3)]),
    classify("swiglu", (3,), lambda: [
        Module(lambda self, x: self.c(F.silu(self.a(x)) * self.b(x)),
               a=nn.Linear(3, 3), b=nn.Linear(3, 3), c=nn.Linear(3, 3))
    ]),
    classify("softmax layer", (3,), lambda: [nn.Linear(3, 4), nn.Softmax(dim=1), nn.Linear(4, 3)]),
    classify("conv1d", (2, 5), lambda: [nn.Conv1d(2, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6, 3)]),
    classify("conv1d dilated", (1, 7), lambda: [nn.Conv1d(1, 2, 3, dilation=2), nn.GELU(), nn.Flatten(),
                                                nn.Linear(6, 3)]),
    classify("conv2d stride groups pool", (2, 6, 6), lambda: [
        nn.Conv2d(2, 2, 3, stride=2, padding=1, groups=2), nn.SiLU(), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(2, 3)]),
    classify("conv2d circular", (1, 4, 4), lambda: [
        nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(2, 3)]),
    classify("conv2d reflect", (1, 4, 4), lambda: [
        nn.Conv2d(1, 1, 3, padding="same", padding_mode="reflect"), nn.ELU(), nn.Flatten(),
        nn.Linear(16, 3, bias=False)]),
    classify("conv2d separable", (3, 4, 4), lambda: [
        nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, 1, 1), nn.Tanh(), nn.Flatten(), nn.Linear(4, 2), nn.Linear(2, 3)]),
    classify("conv3d", (1, 3, 3, 3), lambda: [nn.Conv3d(1, 1, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)]),
    classify("conv transpose", (2, 2, 2), lambda: [
        nn.ConvTranspose2d(2, 1, 2, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3, bias=False)]),
    classify("max pooling", (1, 4, 4), lambda: [
        nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3)]),
    classify("adaptive max pooling", (1, 5), lambda: [
        nn.Conv1d(1, 3, 2), nn.AdaptiveMaxPool1d(2), nn.Flatten(), nn.Linear(6, 3)]),
    classify("lp pooling", (1, 6), lambda: [
        nn.Conv1d(1, 2, 2), nn.Softplus(), nn.LPPool1d(2, 2), nn.Flatten(), nn.Linear(4, 3)]),
    classify("max unpooling", (1, 4), lambda: [Module(
        lambda self, x: self.head(F.max_unpool1d(*F.max_pool1d(self.conv(x), 2, return_indices=True), 2).flatten(1)),
        conv=nn.Conv1d(1, 2, 3, padding=1), head=nn.Linear(8, 3))]),
    classify("unfold and fold", (1, 3, 3), lambda: [
        nn.Unfold(2), Module(lambda self, x: self.mix(x.transpose(1, 2)).transpose(1, 2), mix=nn.Linear(4, 4)),
        nn.Tanh(), nn.Fold((3, 3), 2), nn.Flatten(), nn.Linear(9, 3)]),
    classify("pixel shuffle", (1, 2, 2), lambda: [
        nn.Conv2d(1, 4, 1), nn.PixelShuffle(2), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3, bias=False)]),
    classify("upsampling bilinear", (1, 2, 2), lambda: [
        nn.Conv2d(1, 1, 1), nn.Tanh(), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Flatten(), nn.Linear(16, 3)]),
    classify("upsampling bicubic", (1, 2, 2), lambda: [
        nn.Conv2d(1, 1, 1), nn.Tanh(), nn.Upsample(size=(3, 3), mode="bicubic"), nn.Flatten(), nn.Linear(9, 3)]),
    classify("layer norm", (3,), lambda: [nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 3)]),
    classify("group norm", (4, 2), lambda: [nn.Conv1d(4, 4, 1), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(8, 3)]),
    classify("instance norm", (2, 4), lambda: [
        nn.Conv1d(2, 2, 2), nn.InstanceNorm1d(2, affine=True), nn.Flatten(), nn.Linear(6, 3)]),
    classify("rms norm", (3,), lambda: [nn.Linear(3, 4), nn.RMSNorm(4), nn.Linear(4, 3)]),
    classify("local response norm", (3, 2), lambda: [
        nn.Conv1d(3, 3, 1), nn.LocalResponseNorm(2), nn.Flatten(), nn.Linear(6, 3)]),
    Case("batch norm in evaluation mode", batch_norm),
    refused("batch norm in training mode", r"BatchNorm1d '1' is in training mode. Call model.eval\(\)",
            lambda: batch_norm(training=True), ("hessian", "ggn")),
    refused("batch norm without statistics", "has no running statistics",
            lambda: batch_norm(track_running_stats=False)),
    Case("dropout in evaluation mode", lambda: dropout(False)),
    refused("dropout in training mode", r"Dropout '1' is in training mode. Call model.eval\(\)",
            lambda: dropout(True), ("hessian", "fisher")),
    Case("dropout of rate 0 in training mode", idle_dropout, ("hessian",)),
    Case("spatial transformer", spatial_transformer, ("hessian",), differences=True, by_differences=True),
    classify("channel shuffle and dropout2d", (4, 2), lambda: [
        nn.Conv1d(4, 4, 1, groups=2), nn.ChannelShuffle(2), nn.Dropout1d(0.3), nn.Flatten(), nn.Linear(8, 3)]),
    classify("squeeze and excite", (3, 4), lambda: [Module(
        lambda self, x: self.head((h := self.conv(x)).mean(2) * torch.sigmoid(self.gate(h.mean(2)))),
        conv=nn.Conv1d(3, 3, 2), gate=nn.Linear(3, 3), head=nn.Linear(3, 3))]),
    classify("cosine classifier", (3,), lambda: [nn.Linear(3, 4), Module(
        lambda self, x: 5 * F.normalize(x, dim=1) @ F.normalize(self.prototypes, dim=1).T, prototypes=free(3, 4))]),
]  # fmt: skip
