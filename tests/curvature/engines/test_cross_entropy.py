"""Closed forms in place of torch's chains: the same values and derivatives, to any order where a model may need it."""

import pytest
import torch
from curvature_cases import hessian_products, normal
from torch import nn
from torch.func import jvp
from torch.nn import functional as F  # noqa: N812

from hessdens.curvature.engines.cross_entropy import with_closed_form


@pytest.mark.parametrize("shape", [(7, 5), (4, 5, 3), (2, 5, 3, 2)])
@pytest.mark.parametrize("ignored", [-100, 2])
def test_cross_entropy_is_that_of_torch(shape, ignored):
    z, V = 3 * normal(*shape), normal(4, *shape, seed=1)
    targets = torch.randint(0, 5, (shape[0], *shape[2:]), generator=torch.Generator().manual_seed(2))
    targets[0] = ignored
    theirs = nn.CrossEntropyLoss(ignore_index=ignored)
    ours = with_closed_form(theirs)
    assert ours is not theirs
    torch.testing.assert_close(ours(z, targets), theirs(z, targets), rtol=1e-14, atol=0)
    torch.testing.assert_close(
        jvp(lambda z: ours(z, targets), (z,), (V[0],))[1], jvp(lambda z: theirs(z, targets), (z,), (V[0],))[1]
    )
    reference = hessian_products(lambda z: theirs(z, targets), z, V)[0]
    for products in hessian_products(lambda z: ours(z, targets), z, V):
        torch.testing.assert_close(products, reference, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "loss_fn",
    [
        nn.CrossEntropyLoss(weight=torch.ones(5)),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.CrossEntropyLoss(reduction="sum"),
        nn.MSELoss(),
        lambda z, y: F.cross_entropy(z, y),
    ],
)
def test_other_losses_stay_as_they_are(loss_fn):
    assert with_closed_form(loss_fn) is loss_fn


class Spy(nn.CrossEntropyLoss):
    """A subclass may compute anything."""


def test_unusual_outputs_and_targets_are_left_to_torch():
    assert type(with_closed_form(Spy())) is Spy
    ours = with_closed_form(F.cross_entropy)
    z, probabilities = normal(4, 3), normal(4, 3, seed=1).softmax(dim=1)
    assert float(ours(z, probabilities)) == float(F.cross_entropy(z, probabilities))
    assert float(ours(z[0], torch.tensor(1))) == float(F.cross_entropy(z[0], torch.tensor(1)))
    half = ours(z.bfloat16(), torch.arange(4) % 3)
    assert half.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="batch_size"):
        ours(z, torch.arange(3))
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(z.bfloat16(), torch.arange(4) % 3).dtype == torch.float32


def test_batch_without_a_target_has_no_loss():
    assert with_closed_form(F.cross_entropy)(normal(2, 3), torch.tensor([-100, -100])).isnan()
