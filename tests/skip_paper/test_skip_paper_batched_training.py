"""Networks trained together end as each alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skip_paper.networks import batched_training
from skip_paper.networks.batched_training import BatchedTraining, RecordedStep
from skip_paper.networks.specification import NetworkSpec
from skip_paper.networks.stacked import StackedNetworks
from skip_paper.networks.training import train

SEEDS = (3, 8, 5)
PLAIN = NetworkSpec("plain", 6, 16)
RESIDUAL = replace(PLAIN, architecture="residual")
KINDS = {
    "plain": PLAIN,
    "residual": RESIDUAL,
    "hyper-residual": replace(PLAIN, architecture="hyper-residual"),
    "one skip vector": replace(RESIDUAL, num_skip_vectors=1),
    "four skip vectors": replace(RESIDUAL, num_skip_vectors=4),
    "correlated skips": replace(RESIDUAL, skip_correlation=0.1),
    "malicious": replace(RESIDUAL, malicious=True),
    "balanced": replace(RESIDUAL, hidden_start=0.25),
    "biases": replace(PLAIN, bias_strength=0.01, bias_mean=0.5, bias_scale=1.0),
    "biases and normalisation": replace(PLAIN, bias_strength=0.01, bias_mean=0.5, bias_scale=1.0, batch_norm_layer=3),
}


def networks(spec, seeds, dtype):
    return [spec.build(20, 5, seed).to(dtype) for seed in seeds]


def examples(dtype, count=130):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 20, generator=generator).to(dtype), torch.randint(5, (count,), generator=generator)


def together(spec, seeds, dtype, *, batch_size=40):
    penalties = [spec.penalty(seed) for seed in seeds] if spec.bias_strength else None
    stacked = StackedNetworks(networks(spec, seeds, dtype))
    return BatchedTraining(stacked, *examples(dtype), seeds=seeds, penalties=penalties, batch_size=batch_size)


def handed_out(training, spec, dtype):
    copies = networks(spec, training.seeds, dtype)
    training.networks.hand_out(copies)
    return copies


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float64, 1e-8)])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_training_alone(kind, dtype, tolerance):
    spec = KINDS[kind]
    training = together(spec, SEEDS, dtype)
    alone = networks(spec, SEEDS, dtype)
    pauses = [
        train(
            one, *examples(dtype), seed=seed, measure_at=(0, 7, 50), batch_size=40,
            penalty=spec.penalty(seed) if spec.bias_strength else None,
        )
        for one, seed in zip(alone, SEEDS, strict=True)
    ]  # fmt: skip
    for steps in (0, 7, 50):
        training.run(steps)
        assert all(next(pause) for pause in pauses)
        for one, other in zip(handed_out(training, spec, dtype), alone, strict=True):
            for first, second in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
                difference = torch.linalg.vector_norm((first - second).double())
                assert difference <= tolerance * torch.linalg.vector_norm(second.double())


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_networks(kind):
    spec = KINDS[kind]
    copies = [network.eval() for network in networks(spec, SEEDS, torch.float64)]
    x = examples(torch.float64)[0]
    expected = torch.stack([network(x) for network in copies])
    torch.testing.assert_close(StackedNetworks(copies)(x), expected, rtol=1e-12, atol=1e-12)


def test_a_run_does_not_depend_on_the_others():
    trained = []
    for seeds in ((8,), (1, 8), (8, 2, 4)):
        training = together(PLAIN, seeds, torch.float64)
        training.run(9)
        trained.append(training.state()[seeds.index(8)])
    for other in trained[1:]:
        for name, values in trained[0].items():
            np.testing.assert_allclose(other[name], values, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("kind", ["plain", "biases and normalisation"])
def test_training_goes_on_from_a_state(kind):
    whole, begun, resumed = (together(KINDS[kind], SEEDS, torch.float32) for _ in range(3))
    whole.run(8)
    begun.run(5)  # within an epoch of three batches
    resumed.restore(begun.state())
    resumed.run(8)
    for one, other in zip(resumed.state(), whole.state(), strict=True):
        for name, values in other.items():
            np.testing.assert_array_equal(one[name], values)


@pytest.mark.parametrize("kind", ["plain", "biases and normalisation"])
def test_recorded_steps_see_new_examples_and_restored_states(kind, monkeypatch):
    """Without a CUDA device, the recording is stood in for by a function that repeats the work on the same memory."""
    recorded = []
    monkeypatch.setattr(batched_training, "_on_side_stream", lambda work: work())
    monkeypatch.setattr(batched_training, "_record", lambda work: recorded.append(work) or work)
    eager, graphed = (together(KINDS[kind], SEEDS, torch.float64) for _ in range(2))
    graphed._graph = RecordedStep(graphed._step)
    for training in (eager, graphed):
        training.run(5)
        state = training.state()
        training.run(7)
        training.restore(state)
        training.run(11)
    assert len(recorded) == 2
    for one, other in zip(graphed.state(), eager.state(), strict=True):
        for name, values in other.items():
            np.testing.assert_array_equal(one[name], values)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_steps_on_cuda_are_those_of_the_cpu(kind):
    spec = KINDS[kind]
    penalties = [spec.penalty(seed) for seed in SEEDS] if spec.bias_strength else None
    states = []
    for device in ("cpu", "cuda"):
        stacked = StackedNetworks([network.to(device) for network in networks(spec, SEEDS, torch.float64)])
        x, y = (part.to(device) for part in examples(torch.float64))
        training = BatchedTraining(stacked, x, y, seeds=SEEDS, penalties=penalties, batch_size=40)
        training.run(30)
        training.restore(training.state())
        training.run(50)
        states.append(training.state())
    for one, other in zip(*states, strict=True):
        for name, values in other.items():
            np.testing.assert_allclose(one[name], values, rtol=1e-7, atol=1e-10)


def test_a_run_that_diverges_does_not_spoil_the_others():
    copies = networks(PLAIN, SEEDS, torch.float64)
    with torch.no_grad():
        copies[1].output.bias[0] = float("inf")
    training = BatchedTraining(StackedNetworks(copies), *examples(torch.float64), seeds=SEEDS)
    training.run(4)
    assert training.finite.tolist() == [True, False, True]
    assert all(bool(values[[0, 2]].isfinite().all()) for values in training.networks.parameters.values())


def test_bad_input():
    with pytest.raises(ValueError, match="networks and seeds must be as many; got 1 and 2"):
        BatchedTraining(StackedNetworks(networks(PLAIN, (1,), torch.float32)), *examples(torch.float32), seeds=(1, 2))
    with pytest.raises(ValueError, match="networks must hold at least 1; got 0"):
        StackedNetworks([])
    with pytest.raises(ValueError, match="networks must have the same specification"):
        StackedNetworks([PLAIN.build(20, 5, 0), PLAIN.build(21, 5, 0)])
    with pytest.raises(ValueError, match=r"batch_norm_layer must be 0 \(none\) or a layer of 1..6; got 7"):
        replace(PLAIN, batch_norm_layer=7).build(20, 5, 0)
    with pytest.raises(ValueError, match="skip_correlation must be at least 0; got -1"):
        replace(RESIDUAL, skip_correlation=-1).build(20, 5, 0)
