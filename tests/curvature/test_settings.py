"""Settings of torch inside products, and that they are what they were afterwards."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from hessdens import Plan, hessian_operator
from hessdens.curvature.settings import BACKENDS, product_settings


def settings():
    def read(get):
        try:
            return get()
        except RuntimeError:  # torch refuses to read old switches after new ones were used
            return "unreadable"

    return (
        [backend.fp32_precision for backend in BACKENDS],
        read(torch.get_float32_matmul_precision),
        read(lambda: torch.backends.cudnn.allow_tf32),
        torch.backends.mha.get_fastpath_enabled(),
        torch.is_autocast_cache_enabled(),
    )


@pytest.fixture(params=["default", "old", "new"])
def users_settings(request):
    before = [backend.fp32_precision for backend in BACKENDS]
    if request.param == "old":
        torch.set_float32_matmul_precision("high")
    if request.param == "new":
        torch.backends.cuda.matmul.fp32_precision = "tf32"
    yield request.param
    torch.set_float32_matmul_precision("highest")
    for backend, precision in zip(BACKENDS, before, strict=True):
        backend.fp32_precision = precision


def test_full_precision_inside_and_the_users_settings_outside(users_settings):
    before = settings()
    with product_settings(tf32=False):
        precisions, matmul, allow_tf32, fast_path, cache = settings()
        assert set(precisions) == {"ieee"}
        assert allow_tf32 is False
        assert matmul == "highest" or users_settings == "new"
        assert not fast_path
        assert not cache
    assert settings() == before
    with pytest.raises(KeyError), product_settings(tf32=False):
        raise KeyError
    assert settings() == before
    with product_settings(tf32=True):
        assert settings()[:3] == before[:3]


@pytest.mark.parametrize("tf32", [False, True])
def test_products_are_made_under_these_settings(tf32):
    seen = []

    class Look(nn.Linear):
        def forward(self, x):
            seen.append(torch.backends.cudnn.conv.fp32_precision)
            return super().forward(x)

    outside = torch.backends.cudnn.conv.fp32_precision
    operator = hessian_operator(
        Look(4, 3), F.cross_entropy, [(torch.ones(5, 4), torch.arange(5) % 3)], plan=Plan(tf32=tf32)
    )
    seen.clear()
    operator @ torch.ones(operator.size)
    assert set(seen) == {outside if tf32 else "ieee"}


def test_missing_batching_rules_are_not_the_users_concern():
    model, inputs = nn.Sequential(nn.Linear(4, 6), nn.GLU()).double(), torch.ones(2, 4, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hessian_operator(model, nn.MSELoss(), [(inputs, inputs[:, :3])]) @ torch.eye(30, dtype=torch.float64)
