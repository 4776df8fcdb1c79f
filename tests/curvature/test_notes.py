"""Errors of users' models and losses say what these were given, and what to write."""

from collections import OrderedDict, namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import hessian_operator
from hessdens.curvature.notes import first_sentence, given

INPUTS, TARGETS = torch.ones(6, 3).cumsum(0), torch.arange(6) % 2
GIVEN = "hessdens was computing the loss of batch 0: torch.float32 (6, 3), torch.int64 (6,)."
LINE = 160  # letters of a line of a terminal; two are allowed
Pair = namedtuple("Pair", ["hidden", "out"])


class Returning(nn.Linear):
    """A linear layer whose outputs are put into something."""

    def __init__(self, put):
        super().__init__(3, 2)
        self.put = put

    def forward(self, x):
        return self.put(super().forward(x))


class Output(OrderedDict):
    """Outputs as models of transformers return them: a mapping with attributes."""

    def __getattr__(self, name):
        return self[name]


def note_of(model, loss_fn, targets=TARGETS, inputs=INPUTS, **options):
    """Return the note of the error that torch raises."""
    with pytest.raises((RuntimeError, TypeError, LookupError, AttributeError)) as caught:
        hessian_operator(model, loss_fn, [(inputs, targets)], **options)
    (note,) = caught.value.__notes__
    return note


@pytest.mark.parametrize(
    ("put", "kind", "item"),
    [
        (lambda z: {"hidden": 2 * z, "logits": z}, "dict", "['logits']"),
        (lambda z: {"aux": z.mean(), "scores": z}, "dict", "['aux']"),
        (lambda z: {"number": 1, "scores": z}, "dict", "['scores']"),
        (lambda z: (z, z.mean()), "tuple", "[0]"),
        (lambda z: [z], "list", "[0]"),
        (lambda z: Pair(2 * z, z), "Pair", ".out"),
        (lambda z: SimpleNamespace(logits=z), "SimpleNamespace", ".logits"),
        (lambda z: Output(loss=z.mean(), logits=z), "Output", "['logits']"),
    ],
)
@pytest.mark.parametrize("loss_fn", [nn.CrossEntropyLoss(), F.cross_entropy, nn.MSELoss(), nn.NLLLoss()])
def test_outputs_that_are_no_tensor(put, kind, item, loss_fn):
    note = note_of(Returning(put), loss_fn)
    code = f"lambda model, batch: (model(batch[0]){item}, batch[1])"
    name = getattr(loss_fn, "__name__", type(loss_fn).__name__)
    assert note == f"{GIVEN} The model returns {kind}, and {name} takes one tensor. Write forward={code}."
    assert len(note) <= 2 * LINE
    if item != "['aux']":  # the first tensor is a guess
        outputs, targets = eval(code)(Returning(put), (INPUTS, TARGETS))
        assert outputs.shape == (6, 2)
        assert targets is TARGETS


def test_what_the_note_says_to_write_works():
    model = Returning(lambda z: {"logits": z})
    H = hessian_operator(
        model, nn.CrossEntropyLoss(), [(INPUTS, TARGETS)],
        forward=lambda model, batch: (model(batch[0])["logits"], batch[1]),
    )  # fmt: skip
    assert H.size == 8


@pytest.mark.parametrize(
    ("loss_fn", "targets", "advice"),
    [
        (nn.CrossEntropyLoss(), TARGETS.float(), "Write targets.long()."),
        (nn.CrossEntropyLoss(), TARGETS[:, None], "Write targets.squeeze(1).long()."),
        (nn.NLLLoss(), TARGETS[:, None].float(), "Write targets.squeeze(1).long()."),
        (nn.CrossEntropyLoss(), TARGETS + 5, "takes class numbers from 0 to 1 in int64, or probabilities in the"),
        (nn.NLLLoss(), TARGETS + 5, "NLLLoss takes class numbers from 0 to 1 in int64."),
        (F.mse_loss, torch.ones(12), "Write targets.reshape(-1, 2).to(torch.float32)."),
        (nn.BCEWithLogitsLoss(), torch.ones(6, 3), "BCEWithLogitsLoss takes targets of the same shape and dtype."),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_targets_that_do_not_fit_the_outputs(loss_fn, targets, advice):
    inputs = INPUTS[: len(targets)]
    with pytest.raises((RuntimeError, IndexError, ValueError)) as caught:
        hessian_operator(nn.Linear(3, 2), loss_fn, [(inputs, targets)], split_batches=False, num_examples=lambda b: 1)
    (note,) = caught.value.__notes__
    assert f" The outputs are torch.float32 ({len(inputs)}, 2). " in note
    assert advice in note
    assert len(note) <= 2 * LINE


@pytest.mark.parametrize("loss_fn", [nn.MSELoss(), F.l1_loss, nn.HuberLoss()])
def test_targets_that_torch_would_broadcast_to_all_pairs_are_refused(loss_fn):
    """The most common slip in regression: outputs of shape (B, 1), targets of shape (B,), or the other way round."""
    targets = TARGETS.float()
    for model, wrong, right in [
        (nn.Linear(3, 1), targets, targets.reshape(-1, 1)),
        (nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)), targets[:, None], targets),
    ]:
        code = f"targets.reshape{(-1, *right.shape[1:])}"
        with pytest.raises(ValueError, match="broadcasts to all pairs of examples") as caught:
            hessian_operator(model, loss_fn, [(INPUTS, wrong)])
        assert str(caught.value).endswith(f"Write {code}.")
        assert torch.equal(eval(code, {"targets": wrong}), right)
        assert hessian_operator(model, loss_fn, [(INPUTS, right)]).size == 4


def test_one_target_for_all_examples_is_allowed():
    with pytest.warns(UserWarning, match="Using a target size"):
        hessian_operator(nn.Linear(3, 2), nn.MSELoss(), [(INPUTS, torch.ones(6, 1))])


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_class_numbers_are_for_another_loss():
    assert note_of(nn.Linear(3, 2), nn.MSELoss()).endswith("For class numbers write nn.CrossEntropyLoss() instead.")


def test_a_model_that_fails_is_told_from_its_loss():
    message = f"{GIVEN} The model fails at these inputs, before its loss is computed."
    assert note_of(nn.Linear(4, 2), nn.CrossEntropyLoss()) == message
    assert note_of(nn.ModuleDict({"outputs": nn.Linear(3, 2)}), nn.CrossEntropyLoss()) == message


def test_losses_of_users_are_not_advised():
    """Nothing is known of what they take: the outputs are named."""
    note = note_of(Returning(lambda z: {"logits": z}), lambda outputs, targets: outputs["scores"].mean())
    assert note == f"{GIVEN} The outputs of the model are torch.float32 (6, 2)."
    note = note_of(nn.Linear(3, 2), nn.CrossEntropyLoss(), forward=lambda model, batch: (model(batch[0])[1], batch[0]))
    assert note == GIVEN


def test_messages_of_hessdens_have_no_note():
    with pytest.raises(ValueError, match="The loss must be a scalar") as caught:
        hessian_operator(nn.Linear(3, 2), lambda outputs, targets: outputs, [(INPUTS, TARGETS)])
    assert not hasattr(caught.value, "__notes__")


def test_the_note_leaves_model_batch_and_random_numbers_as_they_are():
    model = nn.Sequential(nn.ReLU(inplace=True), Returning(lambda z: (z + torch.rand(1) * 0,)))
    inputs = INPUTS - 3
    before = inputs.clone()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    assert "[0], batch[1])" in note_of(model, nn.CrossEntropyLoss(), inputs=inputs)
    torch.testing.assert_close(torch.rand(2), expected)
    assert torch.equal(inputs, before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_words_about_batches_and_errors():
    assert given([INPUTS, {"a": "text", "b": TARGETS}]) == "torch.float32 (6, 3), torch.int64 (6,), str"
    assert first_sentence(RuntimeError("One. Two.\nThree")) == "One"
    assert first_sentence(KeyError()) == "KeyError"
