"""Weights of networks trained together compared with those of each trained alone, at the paper's size.

    python benchmarks/training_agreement.py [--steps 50]

30 layers of 128 units on CIFAR-100, three networks at once, the first compared with a plain loop of the same seed. For
each architecture and regulariser: relative difference of all weights as one vector, and the largest of one parameter
tensor, in float32 and float64; and, for scale, how far either way in float32 is from the plain loop in float64.
Gradients of 30 plain layers vanish, and Adam divides them by their own size: rounding can decide the signs of steps.
"""

import json
from dataclasses import replace

from measuring import origin, parser_of, save
from skip_paper.data.images import load_images, prepare
from skip_paper.networks.batched_training import BatchedTraining
from skip_paper.networks.specification import NetworkSpec
from skip_paper.networks.stacked import StackedNetworks
from skip_paper.networks.training import train
from torch import Tensor

EXAMPLES, SEEDS = 25_000, (0, 1, 2)
PLAIN = NetworkSpec("plain", 30, 128)
RESIDUAL = replace(PLAIN, architecture="residual")
BIASES = replace(PLAIN, bias_strength=0.01, bias_mean=0.5, bias_scale=1.0)
KINDS = {
    "plain": PLAIN,
    "residual": RESIDUAL,
    "hyper-residual": replace(PLAIN, architecture="hyper-residual"),
    "one skip vector": replace(RESIDUAL, num_skip_vectors=1),
    "four skip vectors": replace(RESIDUAL, num_skip_vectors=4),
    "correlated skips": replace(RESIDUAL, skip_correlation=0.01),
    "malicious": replace(RESIDUAL, malicious=True),
    "plain, balanced": replace(PLAIN, hidden_start=0.25),
    "residual, balanced": replace(RESIDUAL, hidden_start=0.25),
    "biases": BIASES,
    "biases and normalisation": replace(BIASES, batch_norm_layer=15),
}

Weights = list[Tensor]


def trained(spec: NetworkSpec, inputs: Tensor, targets: Tensor, classes: int, steps: int) -> tuple[Weights, Weights]:
    """Return the weights of the first network, trained with others and alone."""
    copies = [spec.build(inputs.shape[1], classes, seed).to(inputs.dtype) for seed in SEEDS]
    alone = spec.build(inputs.shape[1], classes, SEEDS[0]).to(inputs.dtype)
    penalties = [spec.penalty(seed) for seed in SEEDS] if spec.bias_strength else None
    training = BatchedTraining(StackedNetworks(copies), inputs, targets, seeds=SEEDS, penalties=penalties)
    training.run(steps)
    training.networks.hand_out(copies)
    penalty = penalties[0] if penalties else None
    next(train(alone, inputs, targets, seed=SEEDS[0], measure_at=(steps,), penalty=penalty))
    together, apart = ([p.detach().double() for p in network.parameters()] for network in (copies[0], alone))
    return together, apart


def differences(weights: Weights, others: Weights) -> dict[str, float]:
    """Return the relative difference of all weights, and the largest of one tensor."""
    lengths = [(float((p - q).norm()), float(q.norm())) for p, q in zip(weights, others, strict=True)]
    whole = sum(d**2 for d, _ in lengths) ** 0.5 / sum(n**2 for _, n in lengths) ** 0.5
    return {"all_weights": whole, "largest_of_a_tensor": max(d / n for d, n in lengths)}


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    images = load_images("cifar100")
    inputs, targets = (tensor[:EXAMPLES] for tensor in prepare(images).train)
    rows = {}
    for name, spec in KINDS.items():
        together, alone = trained(spec, inputs, targets, images.num_classes, options.steps)
        exact_together, exact = trained(spec, inputs.double(), targets, images.num_classes, options.steps)
        rows[name] = {
            "float32": differences(together, alone),
            "float64": differences(exact_together, exact),
            "float32_from_float64_alone": differences(alone, exact),
            "float32_from_float64_together": differences(together, exact),
        }
        print(name, json.dumps(rows[name]), flush=True)
    content = {
        **origin(),
        "steps": options.steps,
        "data": images.title,
        "kinds": rows,
    }
    save(options.output, content)


if __name__ == "__main__":
    main()
