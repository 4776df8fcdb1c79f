"""Custom autograd functions, whose second derivative is right, wrong or missing; stand-in gradients."""

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812
from zoo.cases import LABELS, Case, Module, Situation, filled, free, normal, pairs, plain, refused


class Cube(torch.autograd.Function):
    """The classic form, differentiable any number of times."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class CubeByHand(Cube):
    """The backward pass is a function of its own."""

    @staticmethod
    def backward(ctx, gradient):
        return CubeBackward.apply(*ctx.saved_tensors, gradient)


class CubeBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gradient):
        ctx.save_for_backward(x, gradient)
        return 3 * x**2 * gradient

    @staticmethod
    def backward(ctx, v):
        x, gradient = ctx.saved_tensors
        return 6 * x * gradient * v, 3 * x**2 * v


class CubeNew(torch.autograd.Function):
    """The new form, with rules for forward derivatives and vmap."""

    generate_vmap_rule = True
    forward = staticmethod(lambda x: x**3)
    backward = Cube.backward

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx, tangent):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * tangent


class CubeForwardWrong(CubeNew):
    @staticmethod
    def jvp(ctx, tangent):
        return 2 * tangent


class CubeNoGrad(Cube):
    """Its second derivative lacks a term: the backward pass runs without a graph."""

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        with torch.no_grad():
            slope = 3 * x**2
        return gradient * slope


class CubeDetached(Cube):
    """The same by a detached value that it kept."""

    @staticmethod
    def forward(ctx, x):
        ctx.slope = 3 * x.detach() ** 2
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.slope


class CubeDetachedNew(CubeNew):
    """The same in the new form, with a right rule for forward derivatives."""

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 3 * x.detach() ** 2


class CubeNumpy(Cube):
    """The backward pass leaves torch."""

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return torch.from_numpy(3 * x.detach().numpy() ** 2 * gradient.detach().numpy())


class CubeOnce(Cube):
    backward = staticmethod(once_differentiable(Cube.backward))


class CubeWithoutGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x**3


class CubeInPlace(Cube):
    """Writes its result over its input, and keeps a copy, which has no graph."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x.clone())
        ctx.mark_dirty(x)
        return x.mul_(x.clone() ** 2)


class CubeAndSquare(torch.autograd.Function):
    """Two outputs, of which one has no gradient, and a gradient that may be missing."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.set_materialize_grads(False)
        signs = x.sign()
        ctx.mark_non_differentiable(signs)
        return x**3, signs

    @staticmethod
    def backward(ctx, gradient, _):
        (x,) = ctx.saved_tensors
        return None if gradient is None else 3 * x**2 * gradient


class Reversed(torch.autograd.Function):
    """Gradient reversal: what it gives is the gradient of no function."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def cubed(function):
    """Return a maker of a network with a cube in it, and its twin by torch's own power."""

    def model(cube):
        return filled(Module(lambda self, x: self.b(cube(self.a(x))), a=nn.Linear(3, 3), b=nn.Linear(3, 3)))

    def make():
        return Situation(model(function), nn.CrossEntropyLoss(), pairs(normal(5, 3), LABELS),
                         twin=model(lambda x: x**3))  # fmt: skip

    return make


def smallest_cube(function):
    """w = x = 1, target 0, squared error: (w x)^6 has the second derivative 30."""

    def make():
        def model(cube):
            return Module(lambda self, x: cube(self.w * x), w=nn.Parameter(torch.ones(1)))

        ones = torch.ones(2, 1)
        return Situation(model(function), nn.MSELoss(), [(ones, 0 * ones)], twin=model(lambda x: x**3))

    return make


def cubed_loss(function):
    """The custom function is in the loss."""

    def loss(cube):
        return lambda z, t: F.cross_entropy(cube(z), t)

    def make():
        return Situation(filled(nn.Linear(3, 3)), loss(function), pairs(normal(5, 3), LABELS),
                         twin_loss=loss(lambda z: z**3))  # fmt: skip

    return make


def straight_through(self, x):
    """Rounded weights with the gradient of the weights themselves: quantisation-aware training."""
    weight = self.weight + (torch.round(self.weight * 4) / 4 - self.weight).detach()
    return F.linear(x, weight).tanh()


def fake_quantised(self, x):
    return F.linear(x, torch.fake_quantize_per_tensor_affine(self.weight, 0.1, 0, -128, 127)).tanh()


def stand_in(forward):
    return lambda: plain(Module(forward, weight=free(3, 3)), nn.CrossEntropyLoss(), normal(5, 3), LABELS)


NAMED = r"differentia|derivative"
WRONG = {"refusal": NAMED, "either": True, "differences": True}
CASES = [
    Case("classic function", cubed(Cube.apply)),
    Case("function with its own backward function", cubed(CubeByHand.apply)),
    Case("new function", cubed(CubeNew.apply)),
    Case("new function with a wrong forward derivative", cubed(CubeForwardWrong.apply), ("hessian", "ggn")),
    Case("function in place", cubed(lambda x: CubeInPlace.apply(x.clone())), ("hessian",), **WRONG),
    Case("function of two outputs", cubed(lambda x: CubeAndSquare.apply(x)[0]), ("hessian",)),
    Case("classic function in the loss", cubed_loss(Cube.apply)),
    Case("smallest wrong second derivative", smallest_cube(CubeNoGrad.apply), ("hessian",), **WRONG),
    Case("backward without a graph", cubed(CubeNoGrad.apply), ("hessian",), **WRONG),
    Case("backward of detached values", cubed(CubeDetached.apply), ("hessian",), **WRONG),
    Case("backward of detached values, new form", cubed(CubeDetachedNew.apply), ("hessian",), **WRONG),
    Case("backward by numpy", cubed(CubeNumpy.apply), ("hessian",), **WRONG),
    Case("wrong second derivative in the loss", cubed_loss(CubeDetached.apply), ("hessian",), **WRONG),
    Case("wrong second derivative in the loss, gauss-newton", cubed_loss(CubeDetached.apply), ("ggn",),
         refusal=NAMED, either=True),
    Case("backward of detached values, gauss-newton", cubed(CubeDetached.apply), ("ggn",), refusal=NAMED, either=True),
    Case("once differentiable", cubed(CubeOnce.apply), ("hessian",), differences=True),
    Case("once differentiable, gauss-newton", cubed(CubeOnce.apply), ("ggn",), refusal="must be differentiable twice",
         either=True),
    refused("without a gradient", r"must have a gradient; the model itself \(Module\) has none",
            cubed(CubeWithoutGradient.apply)),
    refused("gradient reversal", NAMED, lambda: plain(
        Module(lambda self, x: self.b(Reversed.apply(self.a(x).tanh())), a=nn.Linear(3, 3), b=nn.Linear(3, 3)),
        nn.CrossEntropyLoss(), normal(5, 3), LABELS)),
    Case("straight-through rounding", stand_in(straight_through), ("hessian", "ggn"), refusal=NAMED, either=True),
    Case("fake quantisation", stand_in(fake_quantised), ("hessian",), refusal=NAMED, either=True),
]  # fmt: skip
