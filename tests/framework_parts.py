"""Small training runs of Lightning and Hugging Face transformers, for tests of the callbacks and of their page."""

import contextlib
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

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
