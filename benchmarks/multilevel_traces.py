"""Cost of traces of layers for many examples from levels, against products with all examples.

    python benchmarks/multilevel_traces.py [--seeds 100] [--more-seeds 300]

takes half an hour on one core. The problem is a network of 1,042 parameters, trained on 20,000 points of ten classes
that overlap. Costs are products with all points until the 95% intervals of both layers and of all parameters are within
5%, on average over seeds: by levels, by ``layer_traces``, and by plain probes, its samples with ``low_memory``.
Coverage and bias are those over all seeds, against exact traces.
"""

import numpy as np
import torch
from measuring import origin, parser_of, save
from torch import nn

from hessdens import Plan, hessian_operator
from hessdens.multilevel import multilevel_layer_traces
from hessdens.structure import layer_traces
from hessdens.structure.parts import Parts

POINTS, INPUTS, UNITS, CLASSES = 20_000, 32, 24, 10
RTOL = 0.05
COST_SEEDS = 10
LAYERS = {"first": "0.*", "last": "2.*", "all": "*"}


def problem():
    """Return the operator of a trained network over points in batches of 2,000."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, INPUTS, generator=generator)
    labels = torch.randint(CLASSES, (POINTS,), generator=generator)
    points = centres[labels] + 2 * torch.randn(POINTS, INPUTS, generator=generator)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(INPUTS, UNITS), nn.Tanh(), nn.Linear(UNITS, CLASSES))
    loss_fn, data = nn.CrossEntropyLoss(), list(zip(points.split(2_000), labels.split(2_000), strict=True))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(3):
        for x, y in data:
            optimizer.zero_grad()
            loss_fn(net(x), y).backward()
            optimizer.step()
    # A plan that is measured would make seeds incomparable to the last bit, and its search is no part of the count.
    return hessian_operator(net, loss_fn, data, plan=Plan("feedforward", 2_000, 8))


def exact_traces(H):
    """Return the traces of all layers, from all columns."""
    parts = Parts.of(H, LAYERS, may_overlap=True)
    columns = torch.eye(H.size, dtype=H.dtype).split(256)
    matrix = torch.cat([(H @ part.T).T for part in columns]).double()
    return parts.sums(matrix.diagonal()[:, None]).numpy()[:, 0]


def costs(H, seeds):
    """Return products with all examples that three estimators take for one accuracy, on average and for each seed."""
    ways = {
        "levels": lambda seed: multilevel_layer_traces(H, LAYERS, rtol=RTOL, seed=seed),
        "all examples": lambda seed: layer_traces(H, LAYERS, rtol=RTOL, seed=seed),
        "plain probes": lambda seed: layer_traces(H, LAYERS, rtol=RTOL, seed=seed, low_memory=True),
    }
    found = {}
    for name, way in ways.items():
        results = [way(seed) for seed in range(seeds)]
        products = [float(result.num_products) for result in results]
        found[name] = {"mean": float(np.mean(products)), "products": products}
        if name == "levels":
            found[name]["num_examples"] = results[0].num_examples
            print(results[0], flush=True)
        print(name, found[name], flush=True)
    return found


def coverage(H, exact, seeds, more_seeds):
    """Return how often intervals hold exact traces and the accuracy is kept, and how far the means of seeds are off."""
    values, errors, held, kept, products = [], [], [], [], []
    for seed in range(more_seeds):
        result = multilevel_layer_traces(H, LAYERS, rtol=RTOL, seed=seed)
        low, high = result.interval()
        values.append(result.values)
        errors.append(result.standard_errors)
        held.append((low <= exact) & (exact <= high))
        kept.append(np.abs(result.values - exact) <= RTOL * np.abs(exact))
        products.append(result.num_products)
    bias = (np.mean(values, axis=0) - exact) / (np.std(values, axis=0, ddof=1) / np.sqrt(more_seeds))
    true = np.sqrt(np.mean((np.array(values) - exact) ** 2, axis=0))
    return {
        "seeds": seeds,
        "held": np.mean(held[:seeds], axis=0).tolist(),
        "kept": np.mean(kept[:seeds], axis=0).tolist(),
        "more seeds": more_seeds,
        "held by more seeds": np.mean(held, axis=0).tolist(),
        "bias in standard errors of the mean": bias.tolist(),
        "bias in parts of the trace": (np.mean(values, axis=0) / exact - 1).tolist(),
        "reported over true errors": (np.sqrt(np.mean(np.square(errors), axis=0)) / true).tolist(),
        "products": float(np.mean(products)),
    }


def main():
    parser = parser_of(__doc__, __file__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--more-seeds", type=int, default=300)
    options = parser.parse_args()
    H = problem()
    exact = exact_traces(H)
    facts = {"points": POINTS, "parameters": H.size, "rtol": RTOL, "layers": list(LAYERS)}
    print(f"{facts}, traces {exact}", flush=True)
    rows = {"costs": costs(H, COST_SEEDS), "coverage": coverage(H, exact, options.seeds, options.more_seeds)}
    print(rows)
    save(options.output, {**origin(), "problem": facts, "traces": exact.tolist(), **rows})


if __name__ == "__main__":
    main()
