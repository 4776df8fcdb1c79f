"""Cost of moments of many examples from levels, against plain probes and deflation with all examples.

    python benchmarks/multilevel.py [--preset small|large] [--data FOLDER] [--seeds 100]

"large": the trace and m_2 of a residual 20x128 network, trained on CIFAR-100, over all of its 50,000 images, to 2%:
products with all images for an interval of the same width. That of plain probes is the variance of a few of them, so
that their number is a prediction; the deflated estimator is run. "small": coverage and bias over seeds, for a 6x16
network on principal components of 6,000 images, with moments from all probes of the unit vectors: exact.
"""

from pathlib import Path

import numpy as np
import torch
from measuring import origin, parser_of, save
from skip_paper.data.images import load_images, prepare
from skip_paper.networks.skip_network import SkipNetwork
from skip_paper.networks.training import train
from torch import nn

from hessdens import Plan, hessian_operator, spectral_moments
from hessdens.multilevel import multilevel_moments

PLAIN_PROBES = 24
SIZES = {
    "small": {"depth": 6, "width": 16, "components": 32, "images": 6_000, "epochs": 3, "rtol": 0.02},
    "large": {"depth": 20, "width": 128, "components": None, "images": 50_000, "epochs": 2, "rtol": 0.02},
}


def problem(size, data):
    """Return the operator of a trained network over images in batches of 500."""
    images = load_images("cifar100", data)
    examples = prepare(images, num_components=size["components"])
    x, y = examples.train
    network = SkipNetwork("residual", x.shape[1], images.num_classes, depth=size["depth"], width=size["width"], seed=0)
    for _ in train(network, x, y, measure_at=[size["epochs"] * len(x) // 500], seed=0):
        pass
    chosen = torch.randperm(len(x) // 2, generator=torch.Generator().manual_seed(0))[: size["images"]]
    batches = list(zip(x[chosen].split(500), y[chosen].split(500), strict=True))
    # A plan that is measured would make seeds incomparable to the last bit, and its search is no part of the count.
    H = hessian_operator(network, nn.CrossEntropyLoss(), batches, plan=Plan("feedforward", 500, 8))
    return images.title, H


def relative_width(result):
    """Return the widths of the 95% intervals of m_1 and m_2, relative to these."""
    low, high = result.interval()
    return (high - low) / np.abs(result.values)


def plain_products(plain, width):
    """Return the plain probes, a product each, whose intervals are so wide: normal quantiles, the least of all."""
    spread = plain.samples.std(axis=0, ddof=1) / np.abs(plain.values)
    return float(np.max((2 * 1.96 * spread / width) ** 2))


def costs(H, rtol):
    """Return products with all examples that three estimators take for one width of interval."""
    levels = multilevel_moments(H, 2, rtol=rtol, progress=True)
    print(levels, flush=True)
    width = relative_width(levels)
    plain = spectral_moments(H, 2, method="skilling", num_probes=PLAIN_PROBES, distribution="rademacher", seed=1)
    rows = {
        "levels": {
            "products": levels.num_products,
            "num_examples": levels.num_examples,
            "values": levels.values.tolist(),
            "width": width.tolist(),
        },
        "plain": {"products": plain_products(plain, width), "values": plain.values.tolist()},
        "deflated": [],
    }
    for products in (16, 24, 32, 48, 64):
        found = spectral_moments(H, 2, max_products=products, seed=2)
        rows["deflated"].append(
            {"products": products, "values": found.values.tolist(), "width": relative_width(found).tolist()}
        )
        print(found, flush=True)
        if (relative_width(found) <= width).all():
            break
    return rows


def coverage(H, rtol, seeds):
    """Return how often intervals hold the moments of the whole matrix, and how far means are off in standard errors."""
    columns = torch.eye(H.size, dtype=H.dtype).split(256)
    matrix = torch.cat([(H @ part.T).T for part in columns]).double()
    exact = np.array([float(matrix.trace()), float(matrix.square().sum())]) / H.size
    found = [multilevel_moments(H, 2, rtol=rtol, seed=seed) for seed in range(seeds)]
    values = np.array([result.values for result in found])
    intervals = np.array([result.interval() for result in found])
    errors = np.array([result.standard_errors for result in found])
    held = np.mean((intervals[:, 0] <= exact) & (exact <= intervals[:, 1]), axis=0)
    bias = (values.mean(axis=0) - exact) / (values.std(axis=0, ddof=1) / np.sqrt(seeds))
    return {
        "seeds": seeds,
        "held": held.tolist(),
        "bias in standard errors of the mean": bias.tolist(),
        "kept": float(np.mean((errors / np.abs(values) <= 1.1 * rtol).all(axis=1))),
        "reported over true errors": (np.sqrt(np.mean(errors**2, axis=0)) / values.std(axis=0, ddof=1)).tolist(),
        "products": float(np.mean([result.num_products for result in found])),
    }


def main():
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--preset", choices=sorted(SIZES), default="small")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, default=100)
    options = parser.parse_args()
    size = SIZES[options.preset]
    title, H = problem(size, options.data)
    facts = {"images": title, "parameters": H.size, **size}
    print(f"{title}: {facts}", flush=True)
    rows = {"costs": costs(H, size["rtol"])}
    if options.preset == "small":
        rows["coverage"] = coverage(H, size["rtol"], options.seeds)
    print(rows)
    path = options.output.with_name(f"{options.output.stem}_{options.preset}.json")
    save(path, {**origin(), "problem": facts, **rows})


if __name__ == "__main__":
    main()
