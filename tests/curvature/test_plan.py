"""What is wished of products, and what is decided."""

import pytest
from curvature_cases import refuse

from hessdens import Plan
from hessdens.curvature.plan import Schedule


def test_blocks_and_weights():
    with pytest.raises(ValueError, match="examples_per_block must be at least 1; got 0"):
        Plan(examples_per_block=0)
    with pytest.raises(ValueError, match=r"mode must be one of feedforward, .*; got 'fast'"):
        Plan("fast")
    refuse(
        "allow the modes forward-over-reverse, reverse.*; got plan.mode='feedforward'",
        plan=Plan("feedforward"),
        forward=lambda model, batch: (model(batch[0]), batch[1]),
    )
    message = (
        r"num_examples must add up to more than zero over data; got 0\.0\. Give one batch at least a weight above 0"
    )
    refuse(message, num_examples=lambda b: 0, split_batches=False)


def test_schedule_halves_examples_before_probes():
    schedule = Schedule("feedforward", 4, 2, cuda_graph=False, tf32=False, memory=100)
    sizes = []
    whole = schedule.halved(splits=False)
    while schedule is not None:
        sizes.append(schedule.work)
        schedule = schedule.halved(splits=True)
    assert sizes == [(8, 2), (4, 2), (2, 2), (1, 1)]
    assert (whole.examples_per_block, whole.probes_per_block) == (4, 1)
    assert whole.halved(splits=False) is None
