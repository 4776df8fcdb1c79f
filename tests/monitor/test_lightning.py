"""The callback of Lightning, with the real trainer."""

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from framework_parts import INPUTS, OPTIONS, TARGETS, lightning_parts, quiet
from torch import nn

from hessdens import SpectrumMonitor
from hessdens.monitor import SpectrumHistory


def test_missing_packages_are_named():
    code = """
import sys
sys.modules.update(dict.fromkeys(["lightning", "lightning.pytorch", "pytorch_lightning", "transformers"]))
for name in ("lightning", "hugging_face"):
    try:
        __import__(f"hessdens.monitor.{name}")
    except ImportError as error:
        print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = run.stdout.splitlines()
    assert first.startswith("hessdens.monitor.lightning needs Lightning: pip install lightning (or pytorch-")
    assert second.startswith("hessdens.monitor.hugging_face needs transformers: pip install transformers")


def lightning_run(name, callbacks, max_steps, checkpoint=None):
    module, loader, _ = lightning_parts(name)
    logging.getLogger(name).setLevel(logging.ERROR)
    with quiet():
        trainer = sys.modules[name].Trainer(
            max_steps=max_steps,
            callbacks=callbacks,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, loader, ckpt_path=checkpoint)
    return module, trainer


def test_lightning_training_is_the_same_and_watched(tmp_path):
    pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    from hessdens.monitor.lightning import SpectrumCallback

    data, path = [(INPUTS[:32], TARGETS[:32])], tmp_path / "h.npz"
    callback = SpectrumCallback(nn.CrossEntropyLoss(), data, history=path, **OPTIONS)
    plain, _ = lightning_run("lightning.pytorch", [], 10)
    watched, trainer = lightning_run("lightning.pytorch", [callback], 10)
    for first, second in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True):
        assert torch.equal(first, second)
    assert callback.history.steps.tolist() == [0, 4, 8]
    assert callback.history.identity["model"] == "Module"

    with quiet():
        trainer.save_checkpoint(tmp_path / "ten.ckpt", weights_only=False)
    resumed = SpectrumCallback(nn.CrossEntropyLoss(), data, history=path, **OPTIONS)
    lightning_run("lightning.pytorch", [resumed], 13, checkpoint=tmp_path / "ten.ckpt")
    assert SpectrumHistory.load(path).steps.tolist() == [0, 4, 8, 12]


def test_lightning_network_in_a_module():
    pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    from hessdens.monitor.lightning import SpectrumCallback

    data = [(INPUTS[:32], TARGETS[:32])]
    callback = SpectrumCallback(nn.CrossEntropyLoss(), data, network=lambda module: module.network, **OPTIONS)
    assert len(callback.history) == 0
    module, _ = lightning_run("lightning.pytorch", [callback], 4)
    assert callback.history.identity["model"] == "Sequential"
    expected = SpectrumMonitor(module.network, nn.CrossEntropyLoss(), data, **OPTIONS)
    np.testing.assert_allclose(
        callback.history.at(4).density.nodes(), expected.history[0].density.nodes(), rtol=1e-4, atol=1e-6
    )
