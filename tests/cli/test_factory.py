"""What a user may name as FACTORY, and what is said of what cannot be."""

import json
import re
from pathlib import Path

import factories
import numpy as np
import pytest
import torch
from factories import problem

from hessdens import hessian_operator, spectral_moments


def test_factories_of_other_kinds(run):
    path = Path(factories.__file__)
    values = {}
    for factory in ("factories:problem", f"{path}:problem", "factories:loader", "factories:dictionaries"):
        for more in ("", " --dtype float64 --device cpu"):
            status, out, _ = run(f"moments {factory} --products 20 --method skilling --json{more}")
            assert status == 0
            values[factory, more] = [row["value"] for row in json.loads(out)["results"][0]["moments"]]
    reference = values["factories:problem", ""]
    for found in values.values():
        np.testing.assert_allclose(found, reference, rtol=1e-4)
    double = values["factories:problem", " --dtype float64 --device cpu"]
    model, loss_fn, data = problem()
    H = hessian_operator(model.double(), loss_fn, [(inputs.double(), targets) for inputs, targets in data])
    np.testing.assert_allclose(double, spectral_moments(H, method="skilling", max_products=20).values, rtol=1e-12)
    assert run("moments factories:operator --products 20 --method skilling --json")[0] == 0
    assert "43 eigenvalues" in run("density factories:matrix --method exact")[1]


@pytest.mark.parametrize(
    ("status", "line", "message"),
    [
        (
            2,
            "density factories",
            "FACTORY must be package.module:function or path/to/file.py:function; got 'factories'",
        ),
        (2, "density a/b:c", "FACTORY must name a module before the colon, such as package.module; got 'a/b'"),
        (
            2,
            "density nowhere.train:problem",
            "FACTORY must name a module that can be imported; there is no 'nowhere' in .*",
        ),
        (2, "density no.py:problem", "FACTORY must name a file that exists; there is no no.py"),
        (
            2,
            "density factories:problen",
            "factories must have a function 'problen'; it has none. Did you mean 'problem'",
        ),
        (2, "density factories:SETTING", "factories:SETTING must be a function; got int"),
        (
            2,
            "density factories:with_arguments",
            "factories:with_arguments must be callable without arguments; missing a required argument",
        ),
        (
            1,
            "density factories:nothing",
            r"factories:nothing must return \(model, loss_fn, data\), .*; got None. Write, for example: return model",
        ),
        (
            1,
            "density factories:model_alone",
            "factories:model_alone must return .*; got the model alone. Write, for ex",
        ),
        (1, "density factories:two", r"factories:two must return .*; got \(Sequential, CrossEntropyLoss\)"),
        (
            1,
            "density factories:not_a_model",
            r"factories:not_a_model must return .*; got \(str, CrossEntropyLoss, list\)",
        ),
        (
            1,
            "density factories:list_in_fourth_place",
            "must return a dictionary in fourth place, of keywords; got",
        ),
        (
            1,
            "density factories:misspelt_keyword",
            "keyword arguments of hessian_operator; got 'foward'. Did you mean 'forward'",
        ),
        (1, "density factories:text", "factories:text must return .*; got str: A must be an operator"),
        (1, "density factories:lopsided", "An operator must be symmetric; got x·Ay and y·Ax that differ"),
        (
            1,
            "density factories:matrix --curvature ggn",
            "--curvature is for a model; factories:matrix returned ndarray",
        ),
        (
            1,
            "density factories:matrix --parameters a",
            "--parameters is for a model; factories:matrix returned ndarray",
        ),
        (
            1,
            "density factories:operator --dtype float64",
            "An operator keeps its dtype and device; got dtype=torch.float64",
        ),
        (1, "density factories:a_class", "factories:a_class must return .*; got type: A callable needs its size"),
        (1, "density factories:used_up --dtype float64", "data must be .*"),
        (
            1,
            "density factories:random_model",
            "The loss must not be random; Dropout '1' is in training mode. Call model.eval",
        ),
    ],
)
def test_errors_are_one_line(assert_refused, status, line, message):
    assert_refused(status, line, message)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(run):
    status, _, err = run("density factories:problem --device cuda")
    assert status == 2
    assert re.match(r"hessdens: --device must be a device that this machine has; got 'cuda': .*\n$", err)
