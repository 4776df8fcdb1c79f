"""Callbacks of Lightning and Hugging Face transformers, with the real trainers."""

import contextlib
import logging
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hessdens import SpectrumHistory, SpectrumMonitor

INPUTS = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
TARGETS = (INPUTS[:, 0] > 0).long()
OPTIONS = {"every": 4, "overhead": None, "max_products": 12}


@contextlib.contextmanager
def quiet():
    """Warnings of the frameworks themselves are not this library's; its own are errors as ever."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="(The monitor|Logger|The history|Parameters were)")
        yield


def test_missing_packages_are_named():
    code = """
import sys
sys.modules.update(dict.fromkeys(["lightning", "lightning.pytorch", "pytorch_lightning", "transformers"]))
for name in ("lightning", "hugging_face"):
    try:
        __import__(f"hessdens.integrations.{name}")
    except ImportError as error:
        print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = run.stdout.splitlines()
    assert first.startswith("hessdens.integrations.lightning needs Lightning: pip install lightning (or pytorch-")
    assert second.startswith("hessdens.integrations.hugging_face needs transformers: pip install transformers")


def lightning_parts(name):
    """Return a module, a loader and fixed data."""
    framework = pytest.importorskip(name, reason=f"{name} is not installed")

    class Module(framework.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = nn.Sequential(
                nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 2)
            )

        def forward(self, inputs):
            return self.network(inputs)

        def training_step(self, batch, index):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.01)

    torch.manual_seed(0)
    loader = DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=8, shuffle=True)
    return Module(), loader, [(INPUTS[:32], TARGETS[:32])]


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
    from hessdens.integrations.lightning import SpectrumCallback

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
    from hessdens.integrations.lightning import SpectrumCallback

    data = [(INPUTS[:32], TARGETS[:32])]
    callback = SpectrumCallback(nn.CrossEntropyLoss(), data, network=lambda module: module.network, **OPTIONS)
    assert len(callback.history) == 0
    module, _ = lightning_run("lightning.pytorch", [callback], 4)
    assert callback.history.identity["model"] == "Sequential"
    expected = SpectrumMonitor(module.network, nn.CrossEntropyLoss(), data, **OPTIONS)
    np.testing.assert_allclose(
        callback.history.at(4).density.nodes(), expected.history[0].density.nodes(), rtol=1e-4, atol=1e-6
    )


def transformers_parts(folder, max_steps):
    """Return a model, arguments, a data set and fixed batches."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config)
    tokens = torch.randint(0, 11, (40, 8), generator=torch.Generator().manual_seed(1))
    examples = [{"input_ids": row, "labels": row} for row in tokens]
    with quiet():
        arguments = transformers.TrainingArguments(
            output_dir=str(folder),
            max_steps=max_steps,
            per_device_train_batch_size=4,
            learning_rate=1e-2,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            logging_strategy="no",
            seed=0,
        )
    return model, arguments, examples, [{"input_ids": tokens[:8], "labels": tokens[:8]}]


def hugging_face_run(folder, callbacks, max_steps):
    model, arguments, examples, _ = transformers_parts(folder, max_steps)
    with quiet():
        trainer = sys.modules["transformers"].Trainer(
            model=model, args=arguments, train_dataset=examples, callbacks=callbacks
        )
        trainer.train()
    return model


def test_hugging_face_training_is_the_same_and_watched(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    from hessdens.integrations.hugging_face import SpectrumCallback, model_loss, own_loss

    data = transformers_parts(tmp_path, 6)[3]
    callback = SpectrumCallback(data, **OPTIONS)
    assert len(callback.history) == 0
    plain = hugging_face_run(tmp_path, [], 6)
    watched = hugging_face_run(tmp_path, [callback], 6)
    for first, second in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True):
        assert torch.equal(first, second)
    assert callback.history.steps.tolist() == [0, 4]
    assert callback.history[1].loss < callback.history[0].loss
    final = SpectrumMonitor(watched, own_loss, data, forward=model_loss, **OPTIONS)
    assert final.history[0].density.size == sum(parameter.numel() for parameter in watched.parameters())
