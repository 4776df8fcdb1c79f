"""Networks trained together end as each alone."""

import numpy as np
import pytest
import torch
from skip_paper.batched_training import train_together
from skip_paper.networks import ARCHITECTURES, SkipNetwork
from skip_paper.training import train

SEEDS = (3, 8, 5)


def network(architecture, seed, dtype):
    return SkipNetwork(architecture, 20, 5, depth=6, width=16, seed=seed).to(dtype)


def examples(dtype, count=130):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 20, generator=generator).to(dtype), torch.randint(5, (count,), generator=generator)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.float64, 1e-8)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_are_those_of_training_alone(architecture, dtype, tolerance):
    inputs, targets = examples(dtype)
    options = {"measure_at": (0, 7, 50), "batch_size": 40}
    together = [network(architecture, seed, dtype) for seed in SEEDS]
    pauses = train_together(together, inputs, targets, seeds=SEEDS, **options)
    alone = [network(architecture, seed, dtype) for seed in SEEDS]
    pauses_alone = [train(one, inputs, targets, seed=seed, **options) for one, seed in zip(alone, SEEDS, strict=True)]
    for finite in pauses:
        assert finite.all()
        for single in pauses_alone:
            assert next(single)
        for one, other in zip(together, alone, strict=True):
            for first, second in zip(one.parameters(), other.parameters(), strict=True):
                assert torch.linalg.vector_norm(first - second) <= tolerance * torch.linalg.vector_norm(second)


def test_a_run_does_not_depend_on_the_others():
    inputs, targets = examples(torch.float64)
    trained = []
    for seeds in ((8,), (1, 8), (8, 2, 4)):
        networks = [network("plain", seed, torch.float64) for seed in seeds]
        for _ in train_together(networks, inputs, targets, seeds=seeds, measure_at=(9,), batch_size=60):
            pass
        trained.append(torch.cat([p.detach().flatten() for p in networks[seeds.index(8)].parameters()]))
    for other in trained[1:]:
        torch.testing.assert_close(other, trained[0], rtol=1e-10, atol=1e-12)


def test_a_run_that_diverges_does_not_spoil_the_others():
    inputs, targets = examples(torch.float64)
    networks = [network("plain", seed, torch.float64) for seed in SEEDS]
    with torch.no_grad():
        networks[1].output.bias[0] = float("inf")
    pauses = list(train_together(networks, inputs, targets, seeds=SEEDS, measure_at=(0, 2, 4)))
    np.testing.assert_array_equal(pauses, [[True] * 3, [True, False, True], [True, False, True]])
    assert all(parameter.isfinite().all() for parameter in networks[2].parameters())


def test_bad_input():
    inputs, targets = examples(torch.float32)
    one = network("plain", 0, torch.float32)
    with pytest.raises(ValueError, match="networks and seeds must be as many, at least 1; got 1 and 2"):
        next(train_together([one], inputs, targets, seeds=(1, 2), measure_at=(1,)))
    with pytest.raises(ValueError, match="got 0 and 0"):
        next(train_together([], inputs, targets, seeds=(), measure_at=(1,)))
