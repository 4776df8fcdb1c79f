"""The callback of Hugging Face transformers, with the real trainer."""

import sys
from types import SimpleNamespace

import pytest
import torch
from framework_parts import OPTIONS, quiet, transformers_parts

from hessdens import SpectrumMonitor


def hugging_face_run(folder, callbacks, max_steps):
    model, arguments, examples, _ = transformers_parts(folder, max_steps)
    with quiet():
        trainer = sys.modules["transformers"].Trainer(
            model=model, args=arguments, train_dataset=examples, callbacks=callbacks
        )
        trainer.train()
    return model


def test_batches_count_by_their_labels(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    from hessdens.monitor.hugging_face import SpectrumCallback

    model, _, _, (batch,) = transformers_parts(tmp_path, 2)
    few = batch["labels"].clone()
    few[:, 2:] = -100
    data = [batch, {"input_ids": batch["input_ids"], "labels": few}]
    state = SimpleNamespace(is_world_process_zero=True, global_step=0)
    counted, forced = SpectrumCallback(data, **OPTIONS), SpectrumCallback(data, num_examples=lambda _: 1, **OPTIONS)
    counted.on_train_begin(None, state, None, model=model)
    with pytest.raises(ValueError, match="weighted by numbers of examples, do not give that of the whole"):
        forced.on_train_begin(None, state, None, model=model)  # what a user says is taken, and found wrong
    with torch.no_grad():
        losses = [model.eval()(**each).loss.item() for each in data]
    assert counted.history[0].loss == pytest.approx((7 * losses[0] + losses[1]) / 8, rel=1e-5)


def test_hugging_face_training_is_the_same_and_watched(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    from hessdens.monitor.hugging_face import SpectrumCallback, model_loss, own_loss

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
