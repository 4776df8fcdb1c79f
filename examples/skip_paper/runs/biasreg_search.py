"""Random search of BiasReg's hyperparameters: ``python examples/skip_paper/runs/biasreg_search.py --help``.

The paper found mu = 0.51, sigma = 0.96 on CIFAR-10 and mu = 0.91, sigma = 0.03 on CIFAR-100 by random search (Bergstra
& Bengio 2012), and states neither the ranges nor lambda. Here mu and sigma are uniform on [0, 1] (or the paper's, with
--targets paper), lambda is log-uniform on [1e-6, 1e-1], and trials are ranked by their mean training accuracy, as in
the paper's figures.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from skip_paper.data.images import load_images
from skip_paper.figures.parts.bias_networks import BIAS_TARGETS
from skip_paper.networks.skip_network import NetworkSpec
from skip_paper.run_all import choose_device
from skip_paper.runs.compute import Computer
from skip_paper.runs.experiment import CONDITIONS, Setting
from skip_paper.runs.presets import Size
from skip_paper.runs.store import RunSpec, RunStore, write_whole

LAMBDA = (1e-6, 1e-1)


def trials(
    setting: Setting, data: str, count: int, seed: int, targets: tuple[float, float] | None = None
) -> list[RunSpec]:
    """Return one run a trial; trial i depends on the seed and i alone. ``targets``: a mu and sigma for all trials."""
    size, found = setting.size, []
    for trial in range(count):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(trial,)))
        mean, scale = (float(value) for value in rng.uniform(0, 1, 2))
        if targets is not None:
            mean, scale = targets
        strength = float(np.exp(rng.uniform(*np.log(LAMBDA))))
        start = setting.condition.hidden_start
        network = NetworkSpec(
            "plain", size.depth, size.width, start, bias_strength=strength, bias_mean=mean, bias_scale=scale
        )
        found += setting.specs(network, data=data, seeds=[trial], spectrum=False)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the search; print and write its trials, best first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-set", default="cifar100", choices=("cifar100", "cifar10"))
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with the data set")
    parser.add_argument("--targets", default="random", choices=("random", "paper"), help="mu and sigma of the trials")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=25_000, help="before mirroring")
    parser.add_argument("--depth", type=int, default=30)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--condition", default="literal", choices=CONDITIONS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    options = parser.parse_args(arguments)
    if options.trials < 1 or options.epochs < 1:
        parser.error(f"--trials and --epochs must be at least 1; got {options.trials} and {options.epochs}")
    images = load_images(options.data_set, options.data)
    store = RunStore(options.results / "runs")
    size = Size(1, options.epochs, options.images, depth=options.depth, width=options.width)
    setting = Setting(size, CONDITIONS[options.condition], store, lambda name: images)
    targets = BIAS_TARGETS[options.data_set] if options.targets == "paper" else None
    specs = trials(setting, options.data_set, options.trials, options.seed, targets)
    Computer(store, choose_device(options.device)).compute(specs, {specs[0].data: images}, "biasreg_search")
    rows = []
    for spec in specs:
        arrays = store.find(spec)
        accuracy = float(arrays["train_accuracy"][1:].mean()) if arrays is not None else float("nan")
        network = spec.network
        rows.append(
            {
                "mu": network.bias_mean, "sigma": network.bias_scale, "lambda": network.bias_strength,
                "train_accuracy": accuracy if np.isfinite(accuracy) else None,
            }
        )  # fmt: skip
    rows.sort(key=lambda row: -(row["train_accuracy"] or -1.0))
    print(f"{images.title}: mean training accuracy over {options.epochs} epochs, condition {options.condition}")
    for row in rows[:10]:
        print(f"  mu {row['mu']:.2f}  sigma {row['sigma']:.2f}  lambda {row['lambda']:.1e}  {row['train_accuracy']}")
    path = options.results / f"biasreg_{options.data_set}_{options.condition}_{options.targets}.json"
    write_whole(path, json.dumps({"data": images.title, "epochs": options.epochs, "trials": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
