"""Lightning modules in one line."""

import pytest
import torch
from framework_parts import INPUTS, TARGETS, lightning_parts
from torch import nn

from hessdens.curvature import from_lightning, hessian_operator

BATCHES = [(INPUTS[:20], TARGETS[:20]), (INPUTS[20:], TARGETS[20:])]


@pytest.mark.parametrize("name", ["lightning.pytorch", "pytorch_lightning"])
def test_loss_is_that_of_the_training_step(name):
    module, _, _ = lightning_parts(name)
    H = from_lightning(module.eval(), BATCHES)
    expected = hessian_operator(module, nn.CrossEntropyLoss(), BATCHES)
    v = torch.randn(H.size, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(H @ v, expected @ v, rtol=1e-4, atol=1e-6)


class Step(nn.Module):
    def __init__(self, result):
        super().__init__()
        self.layer, self.result = nn.Linear(5, 2), result

    def training_step(self, batch):
        return self.result(nn.functional.cross_entropy(self.layer(batch[0]), batch[1]))


def test_a_dictionary_and_a_step_without_index():
    H = from_lightning(Step(lambda loss: {"loss": loss}), BATCHES)
    assert H.size == 12


def test_bad_input():
    with pytest.raises(TypeError, match=r"module must have a training_step, as a LightningModule has; got Linear\."):
        from_lightning(nn.Linear(3, 2), BATCHES)
    with pytest.raises(TypeError, match=r"training_step must return the loss; got NoneType\. Return it at its end"):
        from_lightning(Step(lambda loss: None), BATCHES)
