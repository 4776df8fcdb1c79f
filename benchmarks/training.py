"""Training of many networks: as one program, and one after another.

    python benchmarks/training.py [--device cuda]

The paper's networks on CIFAR-100 (100,000 training images with their mirror images). Networks x epochs a second from
the time of some steps, those of both ways in turn, medians over repeats; and the largest relative difference of the
weights after these steps. The plain loop is `skip_paper.networks.training.train`, with Adam as torch has it by default.
"""

import statistics
from typing import Any

from measuring import origin, parser_of, save, timed
from skip_paper.data.images import load_images, prepare
from skip_paper.networks.batched_training import BatchedTraining
from skip_paper.networks.skip_network import SkipNetwork
from skip_paper.networks.stacked import StackedNetworks
from skip_paper.networks.training import train

# Depth, width, principal components, networks at once on a CPU and on a GPU, steps of both ways.
CASES = {"10x16": (10, 16, 128, {"cpu": 40, "cuda": 400}, 30), "30x128": (30, 128, None, {"cpu": 4, "cuda": 50}, 5)}


def measure(name: str, device: str, repeats: int) -> dict[str, Any]:
    depth, width, components, counts, steps = CASES[name]
    count = counts[device]
    images = load_images("cifar100")
    prepared = prepare(images, num_components=components, device=device)
    inputs, targets = prepared.train

    def network(seed: int) -> SkipNetwork:
        classes = images.num_classes
        return SkipNetwork("plain", prepared.num_inputs, classes, depth=depth, width=width, seed=seed).to(device)

    def together(num_steps: int) -> list[SkipNetwork]:
        networks = [network(seed) for seed in range(count)]
        training = BatchedTraining(StackedNetworks(networks), inputs, targets, seeds=range(count))
        training.run(1)
        times.append(timed(training.run, 1 + num_steps, device=device)[1])
        training.networks.hand_out(networks)
        return networks

    def alone(num_steps: int) -> SkipNetwork:
        one = network(0)
        pauses = train(one, inputs, targets, seed=0, measure_at=(1, 1 + num_steps))
        next(pauses)
        times.append(timed(next, pauses, device=device)[1])
        return one

    batched, looped, times = [], [], []
    together(2), alone(2)
    for _ in range(repeats):
        times.clear()
        first, other = together(steps)[0], alone(steps)
        batched.append(times[0] / steps / count)
        looped.append(times[1] / steps)
    difference = max(
        float((p - q).detach().norm() / q.detach().norm())
        for p, q in zip(first.parameters(), other.parameters(), strict=True)
    )
    steps_of_epoch = len(inputs) // 500
    rates = {"together": batched, "one after another": looped}
    return {
        "networks": count,
        "steps": steps,
        "examples": len(inputs),
        "networks_x_epochs_a_second": {
            key: 1 / statistics.median(values) / steps_of_epoch for key, values in rates.items()
        },
        "ratio": statistics.median(looped) / statistics.median(batched),
        "relative_difference": difference,
        "data": images.title,
    }


def main() -> None:
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    content: dict[str, Any] = {
        **origin(options.device),
        "cases": {},
    }
    for name in options.cases:
        found = content["cases"][name] = measure(name, options.device, options.repeats)
        rates = ", ".join(f"{key} {rate:.3g}" for key, rate in found["networks_x_epochs_a_second"].items())
        print(f"{name}, {found['networks']} networks: networks x epochs a second {rates}; ratio {found['ratio']:.2f}")
        print(f"  relative difference of weights {found['relative_difference']:.1e}", flush=True)
    save(options.output, content)


if __name__ == "__main__":
    main()
