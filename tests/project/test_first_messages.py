"""What new users meet first: each message is two lines at most, and has the code to write instead."""

import inspect
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hessdens
from hessdens import ggn_operator, hessian_operator, lanczos_density, plot_density
from hessdens.cli.main import main
from hessdens.curvature import from_transformers
from hessdens.estimators import data_noise

# Letters of two lines of a terminal.
TWO_LINES = 300
INPUTS, TARGETS = torch.ones(6, 4).cumsum(0), torch.arange(6) % 2
LOSS = nn.CrossEntropyLoss()


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Dropout(0.1), nn.Linear(3, 2)).eval()


def operator(data=None, **options):
    return hessian_operator(network(), LOSS, [(INPUTS, TARGETS)] if data is None else data, **options)


class Classifier(nn.Module):
    """A classifier with the interface of transformers, whose loss needs a label for each example."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, input_ids, labels):
        logits = self.network(input_ids)
        return SimpleNamespace(loss=LOSS(logits, labels), logits=logits)


class Restoring(Classifier):
    """A model that predicts each token from all of them, as for masked tokens: with itself as label it is no task."""

    def forward(self, input_ids, labels):
        logits = self.network(nn.functional.one_hot(input_ids, 4).float())
        return SimpleNamespace(loss=LOSS(logits.flatten(0, 1), labels.flatten()), logits=logits)


def of_inference_mode():
    with torch.inference_mode():
        return operator()


def shuffled():
    torch.manual_seed(0)
    return DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=3, shuffle=True)


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda: lanczos_density(network()), "Pass hessian_operator(model, loss_fn, data)"),
        (lambda: operator((INPUTS, TARGETS)), "Pass [(inputs, targets)] for a single batch"),
        (lambda: operator([(INPUTS.to("meta"), TARGETS)]), "Write model.to(device) and batch.to(device)"),
        (lambda: hessian_operator(network().train(), LOSS, [(INPUTS, TARGETS)]), "Call model.eval()"),
        (lambda: lanczos_density(operator(shuffled())), "shuffle=False), or pass list(data)"),
        (
            lambda: hessian_operator(network(), nn.CrossEntropyLoss(reduction="sum"), [(INPUTS, TARGETS)]),
            "Write nn.CrossEntropyLoss() or the like",
        ),
        (
            lambda: hessian_operator(network(), None, [(INPUTS, TARGETS)]),
            "Pass torch.nn.CrossEntropyLoss() or the like",
        ),
        (lambda: operator(parameters=network()[0]), "parameters='layers.0.*'"),
        (
            lambda: hessian_operator(network(), LOSS, INPUTS, TARGETS),
            "Write hessian_operator(model, loss_fn, [(inputs, t",
        ),
        (
            lambda: hessian_operator(network(), [(INPUTS, TARGETS)], LOSS),
            "got list before CrossEntropyLoss. Write hessia",
        ),
        (lambda: operator(cuda=True), "write model.to(device), and batch.to(device)"),
        (lambda: ggn_operator(network(), criterion=LOSS, data=[(INPUTS, TARGETS)]), "Write loss_fn="),
        (
            lambda: from_transformers(network(), [], LOSS),
            "from_transformers takes model and batches by place, and all el",
        ),
        (lambda: plot_density(operator()), "Write lanczos_density(H)"),
        (lambda: operator() @ ([1.0] * operator().size), "torch.as_tensor(V, dtype=operator.dtype)"),
        (lambda: from_transformers(network(), {"input_ids": INPUTS}), "Write [batch]"),
        (
            lambda: from_transformers(Classifier().eval(), [{"input_ids": INPUTS}]),
            "return_tensors='pt'), 'labels': labels}].",
        ),
        (lambda: from_transformers(Restoring().eval(), [{"input_ids": TARGETS.view(2, 3)}]), "'labels': labels}]."),
        (lambda: hessian_operator(network().state_dict(), LOSS, [(INPUTS, TARGETS)]), "Write model.load_state_dict("),
        (lambda: hessian_operator(nn.Linear, LOSS, [(INPUTS, TARGETS)]), "got the class Linear. Write model = Linear("),
        (lambda: hessian_operator(lambda x: x, LOSS, [(INPUTS, TARGETS)]), "Write hessian_operator(model, loss_fn, da"),
        (lambda: hessian_operator(network().to("meta"), LOSS, [(INPUTS, TARGETS)]), "Write model.to_empty(device='cpu"),
        (of_inference_mode, "Make model and operator outside of it"),
        (
            lambda: operator([(INPUTS, INPUTS, TARGETS)]),
            "forward=lambda model, batch: (model(*batch[:-1]), batch[-1])",
        ),
        (
            lambda: operator([{"x": INPUTS, "y": TARGETS}]),
            "forward=lambda model, batch: (model(batch['x']), batch['y'])",
        ),
        (
            lambda: hessian_operator(network(), lambda z, t: LOSS(z.detach(), t), [(INPUTS, TARGETS)]),
            "Leave .detach(), .data, argmax and torch.no_grad() out of model and loss_fn",
        ),
    ],
)
def test_message_has_the_code_to_write_instead(call, instead):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    message = str(caught.value)
    assert instead in message
    assert len(message) <= TWO_LINES
    assert "\n" not in message


def test_what_messages_say_to_write_works():
    expected = operator() @ torch.ones(23)
    others = [{"x": INPUTS, "y": TARGETS}]
    H = hessian_operator(network(), LOSS, others, forward=lambda model, batch: (model(batch["x"]), batch["y"]))
    torch.testing.assert_close(H @ torch.ones(23), expected)
    pairs = [(INPUTS, TARGETS)]
    H = hessian_operator(network(), LOSS, pairs, forward=lambda model, batch: (model(*batch[:-1]), batch[-1]))
    torch.testing.assert_close(H @ torch.ones(23), expected)
    model = network().to("meta").to_empty(device="cpu")
    model.load_state_dict(network().state_dict())
    torch.testing.assert_close(hessian_operator(model, LOSS, pairs) @ torch.ones(23), expected)
    with torch.no_grad():
        torch.testing.assert_close(operator() @ torch.ones(23), expected)


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_wrapped_models_are_as_those_inside(wrap):
    H = hessian_operator(wrap(network()), LOSS, [(INPUTS, TARGETS)])
    torch.testing.assert_close(H @ torch.ones(23), operator() @ torch.ones(23))


@pytest.mark.parametrize("returned", ["model", "model, loss_fn", "None", "model, loss_fn, inputs, targets"])
def test_factory_that_returns_too_little_or_too_much(returned, tmp_path, capsys):
    lines = [
        "import torch",
        "inputs, targets = torch.ones(3, 2), torch.ones(3, 1)",
        "model, loss_fn = torch.nn.Linear(2, 1), torch.nn.MSELoss()",
        f"def problem(): return {returned}",
    ]
    (tmp_path / "p.py").write_text("\n".join(lines))
    assert main(["density", f"{tmp_path}/p.py:problem"]) != 0
    message = capsys.readouterr().err.replace(str(tmp_path), "")
    assert "Write, for example: return model, torch.nn.CrossEntropyLoss(), batches." in message
    assert len(message) <= TWO_LINES


OF_OPERATORS = {
    name: value
    for wing in hessdens.WINGS
    for name in getattr(hessdens, wing).__all__
    if inspect.isfunction(value := getattr(getattr(hessdens, wing), name))
    and next(iter(inspect.signature(value).parameters), "") in ("A", "H", "G", "operator", "operators")
    and name not in ("as_operator", "start")
}


@pytest.mark.parametrize("name", OF_OPERATORS)
def test_functions_of_operators_that_get_a_model_as_other_libraries_do_say_what_to_write(name):
    with pytest.raises(
        TypeError, match=f"^{name} takes (an operator|operators), not a model, a loss and data. Write "
    ) as caught:
        OF_OPERATORS[name](network(), LOSS, [(INPUTS, TARGETS)])
    message = str(caught.value)
    assert f"_operator(model, loss_fn, {'[batch]' if name == 'data_noise' else 'data'})" in message
    assert f"and then {name}(" in message
    assert len(message) <= TWO_LINES
    parameters = inspect.signature(OF_OPERATORS[name]).parameters.values()
    assert [each for each in parameters if each.kind is each.KEYWORD_ONLY], "signatures are those of the source"


def test_functions_of_operators_are_most_of_the_public_ones():
    assert len(OF_OPERATORS) >= 20
    assert {"eigenpairs", "lanczos_density", "layer_traces", "output_gram", "share_probes", "data_noise"} < {
        *OF_OPERATORS
    }


def test_what_the_message_about_models_says_to_write_works():
    model, loss_fn, data = network(), LOSS, [(INPUTS, TARGETS)]
    A = hessian_operator(model, loss_fn, data)
    assert lanczos_density(A, max_products=20).size == 23
    operators = [hessian_operator(model, loss_fn, [batch]) for batch in [(INPUTS[:3], TARGETS[:3]), *data]]
    assert data_noise(operators, num_probes=2).size == 23
