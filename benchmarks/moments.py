"""Error of Skilling's moments against the number of products, on exact spectra of trained networks.

    python benchmarks/moments.py [--width 16] [--steps 0 200 600] [--seeds 20]

For 10-layer plain networks on the images that the example finds (CIFAR-100, else digits): relative root-mean-square
error of m_1..m_4 over seeds, the reported standard error, and the seconds that the products took.
"""

from pathlib import Path

import numpy as np
from measuring import origin, parser_of, save, timed
from skip_paper.data.images import load_images, prepare
from skip_paper.networks.skip_network import SkipNetwork
from skip_paper.networks.training import train
from torch import nn

from hessdens import exact_spectrum, hessian_operator, spectral_moments

PROBES = (5, 25, 100)


def measure(network, batch, seeds):
    operator = hessian_operator(network, nn.CrossEntropyLoss(), [batch])
    reference = hessian_operator(network.double(), nn.CrossEntropyLoss(), [(batch[0].double(), batch[1])])
    exact = exact_spectrum(reference)
    network.float()
    rows = []
    for distribution in ("gaussian", "rademacher"):
        options = {"method": "skilling", "num_probes": PROBES[-1], "distribution": distribution}
        pool, seconds = timed(lambda: [spectral_moments(operator, seed=s, **options) for s in range(seeds)])  # noqa: B023
        for probes in PROBES:  # fewer probes are the first of more
            samples = np.array([moments.samples[:probes] for moments in pool])
            relative = samples.mean(axis=1) / exact.moments(4) - 1
            reported = samples.std(axis=1, ddof=1) / np.sqrt(probes) / np.abs(exact.moments(4))
            rows.append(
                {
                    "distribution": distribution,
                    "products": 2 * probes,
                    "rmse": np.sqrt((relative**2).mean(axis=0)).tolist(),
                    "reported_error": np.sqrt((reported**2).mean(axis=0)).tolist(),
                    "milliseconds_per_product": 1e3 * seconds / (seeds * 2 * PROBES[-1]),
                }
            )
    return exact, rows


def main():
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 200, 600])
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    images = load_images("cifar100", options.data)
    examples = prepare(images, num_components=128)
    network = SkipNetwork("plain", examples.num_inputs, images.num_classes, depth=10, width=options.width, seed=0)
    batch = tuple(part[: options.examples] for part in examples.train)
    table = []
    print(f"{images.title}, 10x{options.width} plain network, {options.examples} examples, {options.seeds} seeds")
    for _, steps in zip(train(network, *examples.train, measure_at=options.steps, seed=0), options.steps, strict=True):
        exact, rows = measure(network, batch, options.seeds)
        print(f"\nafter {steps} steps: {exact}")
        print(
            "probes      products   relative RMSE of m_1..m_4           reported standard error            ms/product"
        )
        for row in rows:
            errors, reported = (" ".join(f"{e:8.4f}" for e in row[name]) for name in ("rmse", "reported_error"))
            speed = row["milliseconds_per_product"]
            print(f"{row['distribution']:10s} {row['products']:8d}   {errors}   {reported} {speed:8.2f}")
        table.append({"steps": steps, "size": exact.size, "rows": rows})
    content = {
        **origin(packages=("numpy",)),
        "data": images.title,
        "arguments": {k: v for k, v in vars(options).items() if k not in ("data", "output")},
        "table": table,
    }
    save(options.output, content)


if __name__ == "__main__":
    main()
