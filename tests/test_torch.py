"""Private names of torch stand in one module, and everything works without them."""

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from curvature_cases import dense, normal
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

import hessdens
from hessdens import Plan, _torch, ggn_operator, hessian_operator
from hessdens.curvature.engines.replacement import Constants
from hessdens.curvature.planning.memory_model import peak_memory
from hessdens.curvature.trials.graph import custom_functions, operations

PACKAGE = Path(hessdens.__file__).parent
MODULES = {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
PRIVATE = PACKAGE / "_torch.py"
# What torch's own pages tell to use, and what stands in every saved model.
DOCUMENTED = {"_parameters", "_buffers", "_backward_hooks", "_backward_pre_hooks"}


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def looked_up():
    """Return the names that `private` is asked for."""
    calls = [node for node in ast.walk(MODULES[PRIVATE]) if isinstance(node, ast.Call)]
    return [call.args[0].value for call in calls if ast.unparse(call.func) == "private"]


def test_no_other_module_uses_private_names():
    nodes = [node for path, tree in MODULES.items() if path != PRIVATE for node in ast.walk(tree)]
    allowed = DOCUMENTED.union(*map(names_made, nodes))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("hessdens"):
            assert not any(map(is_private, [*(node.module or "").split("."), *(alias.name for alias in node.names)]))
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            assert node.attr in allowed, f"{ast.unparse(node)} belongs in hessdens/_torch.py"


def names_made(node):
    """Return the name of a function, field or attribute of its own that a node stands for, if it is one."""
    if isinstance(node, ast.FunctionDef):
        return {node.name}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    is_own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
    return {node.attr} if is_own else set()


def test_all_private_names_are_there_in_this_version():
    assert len(looked_up()) > 5
    assert [name for name in looked_up() if _torch.private(name) is None] == []
    assert _torch.private("_C._no_such.name") is None


def test_import_without_private_names():
    code = f"""
import torch, torch.distributed.fsdp, torch.distributed.tensor, torch.nn.attention, torch.utils.checkpoint
for name in {looked_up()}:
    path, _, last = name.rpartition(".")
    owner = torch
    for part in path.split("."):
        owner = getattr(owner, part)
    delattr(owner, last)
import hessdens
print(hessdens.__version__)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == hessdens.__version__, result.stderr


@pytest.fixture
def _without_names(monkeypatch):
    monkeypatch.setattr(_torch, "private", lambda name: None)


class Dictionary(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 2), nn.GELU(), nn.Linear(2, 2)).double()

    def forward(self, x):
        return {"logits": self.layers(x)}


def of_logits(outputs, targets):
    return F.cross_entropy(outputs["logits"], targets)


DATA = [(normal(5, 3), torch.arange(5) % 2)]
PLANS = [None, Plan("reverse-over-reverse", 5, 2), Plan("forward-over-reverse", 5, 2)]


@pytest.mark.parametrize("make", [hessian_operator, ggn_operator])
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_products(monkeypatch, make, plan):
    torch.manual_seed(0)
    model = Dictionary()
    expected = dense(make(model, of_logits, DATA))
    monkeypatch.setattr(_torch, "private", lambda name: None)
    torch.testing.assert_close(dense(make(model, of_logits, DATA, plan=plan)), expected)


class Cube(torch.autograd.Function):
    """Its second derivative is zero, wrongly."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        return 3 * ctx.saved_tensors[0].detach() ** 2 * gradient


@pytest.mark.usefixtures("_without_names")
def test_differences():
    """Of float64 too, though it is not seen that all is in float64: they are taken as if some were in float32."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1).double()
    losses = [lambda z, t, cube=cube: (cube(z) * z.detach()).mean() for cube in (Cube.apply, lambda z: z**3)]
    with pytest.warns(UserWarning, match="custom functions: Cube"):
        operator = hessian_operator(model, losses[0], DATA)
    torch.testing.assert_close(dense(operator), dense(hessian_operator(model, losses[1], DATA)), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("_without_names")
def test_names_of_custom_functions():
    x = normal(3).requires_grad_()
    nodes = list(operations([Cube.apply(x).sum() + x.sin().sum()]))
    assert [function.__name__ for function in custom_functions(nodes)] == ["Cube"]


def test_custom_function_of_which_torch_does_not_tell():
    assert _torch.custom_function(Cube._backward_cls) is Cube
    assert _torch.custom_function(int) is int


@pytest.mark.parametrize("is_private_known", [True, False])
def test_checkpoints(monkeypatch, is_private_known):
    if not is_private_known:
        monkeypatch.setattr(_torch, "private", lambda name: None)
    seen = []

    def look(x):
        seen.append(_torch.is_checkpointed())
        return x.sin()

    look(normal(3))
    checkpoint(look, normal(3).requires_grad_(), use_reentrant=False)
    assert seen == [False, True]
    with Constants(), pytest.raises(ValueError, match="Switch checkpointing off"):
        checkpoint(lambda x: x.sin() * x.detach(), normal(3).requires_grad_(), use_reentrant=False)


@pytest.mark.usefixtures("_without_names")
def test_modules():
    for module in (nn.Dropout(), nn.Dropout3d(), nn.AlphaDropout()):
        assert _torch.is_dropout(module)
        assert not _torch.is_batch_norm(module)
    for module in (nn.BatchNorm1d(3), nn.BatchNorm3d(3), nn.SyncBatchNorm(3)):
        assert _torch.is_batch_norm(module)
        assert not _torch.is_dropout(module)
    assert not _torch.is_batch_norm(nn.InstanceNorm1d(3))


def test_memory(monkeypatch):
    model = nn.Sequential(nn.Linear(30, 50), nn.Tanh(), nn.Linear(50, 3))

    def block():
        loss = model(torch.randn(100, 30)).square().mean()
        gradient = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        torch.autograd.grad(sum(part.sum() for part in gradient), list(model.parameters()))

    block()
    expected = peak_memory(block)
    monkeypatch.setattr(_torch, "private", lambda name: None)
    assert 0.7 * expected < peak_memory(block) < 1.5 * expected


def test_sparse_parts():
    with torch.sparse.check_sparse_tensor_invariants(True):
        tensor = torch.sparse_coo_tensor([[0, 0, 1]], [1.0, 2.0, 3.0], (4,))
    assert [len(_torch.sparse_parts(tensor)[1]), tensor.is_coalesced()] == [3, False]
    indices, values = _torch.sparse_parts(SimpleNamespace(coalesce=tensor.coalesce))
    assert [indices.tolist(), values.tolist()] == [[[0, 1]], [3.0, 3.0]]


def test_originals_of_what_is_compiled():
    layer = nn.Linear(2, 2)
    assert _torch.as_written(SimpleNamespace(_orig_mod=layer)) is layer
    assert _torch.as_written(SimpleNamespace(_torchdynamo_orig_callable=F.relu)) is F.relu
    assert _torch.as_written(layer) is layer
