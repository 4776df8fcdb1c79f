"""Figure 3: training accuracy, degenerate and negative fractions of plain, residual and hyper-residual networks."""

import itertools
from typing import Any

import numpy as np

from skip_paper.data import Images
from skip_paper.fits import Fractions, describe_fits, fit_fractions, mean_and_error
from skip_paper.networks import ARCHITECTURES
from skip_paper.presets import Preset
from skip_paper.runs import CONDITIONS, Arrays, Condition, RunSpec, RunStore

BATCH_SIZE = 500
EXAMPLE_EPOCH = 3
COLOURS = {"plain": "0.15", "residual": "tab:blue", "hyper-residual": "tab:red"}
# The paper's claims: from the largest to the smallest.
CLAIMS = {
    "train_accuracy": ("hyper-residual", "residual", "plain"),
    "degenerate": ("plain", "residual", "hyper-residual"),
    "negative": ("hyper-residual", "residual", "plain"),
}


def specs(preset: Preset, images: Images, fingerprint: str) -> list[RunSpec]:
    """Return all runs of the figure, all seeds of a kind after one another's so that early results are balanced."""
    size = preset.fig3
    num_train = 2 * min(size.num_train or len(images.train[0]), len(images.train[0]))
    steps = num_train // min(BATCH_SIZE, num_train)
    return [
        RunSpec(
            data=fingerprint,
            num_train=size.num_train,
            num_components=None,
            architecture=architecture,
            depth=size.depth,
            width=size.width,
            scaling=condition.scaling,
            hidden_start=condition.hidden_start,
            seed=seed,
            measure_at=tuple(steps * epoch for epoch in range(size.epochs + 1)),
            spectrum_examples=size.spectrum_examples,
            num_probes=size.num_probes,
            exact=False,
        )
        for seed, condition, architecture in itertools.product(range(size.runs), CONDITIONS.values(), ARCHITECTURES)
    ]


class Results:
    """Finished runs of one condition: per architecture, arrays of shape (runs, epochs + 1)."""

    def __init__(self, condition: Condition, all_specs: list[RunSpec], store: RunStore) -> None:
        self.condition = condition
        self.runs: dict[str, list[Arrays]] = {a: [] for a in ARCHITECTURES}
        for spec in all_specs:
            arrays = store.find(spec)
            if arrays is not None and (spec.scaling, spec.hidden_start) == (condition.scaling, condition.hidden_start):
                self.runs[spec.architecture].append(arrays)
        self.fractions: dict[str, Fractions] = {
            a: fit_fractions(np.array([run["samples"] for run in runs])) for a, runs in self.runs.items() if runs
        }

    def values(self, quantity: str, architecture: str) -> np.ndarray[Any, Any]:
        """Return one quantity, shape (runs, epochs + 1)."""
        if quantity == "train_accuracy":
            return np.array([run["train_accuracy"] for run in self.runs[architecture]])
        result: np.ndarray[Any, Any] = getattr(self.fractions[architecture], quantity)
        return result

    def summary(self) -> dict[str, Any]:
        """Return means, standard errors and verdicts on the paper's orderings, per epoch."""
        quantities: dict[str, Any] = {}
        for quantity, order in CLAIMS.items():
            statistics = {a: mean_and_error(self.values(quantity, a)) for a in self.fractions}
            quantities[quantity] = {
                "mean": {a: mean.tolist() for a, (mean, _) in statistics.items()},
                "standard_error": {a: error.tolist() for a, (_, error) in statistics.items()},
                "orderings": {
                    f"{first} > {second}": _verdicts(statistics[first], statistics[second])
                    for first, second in itertools.pairwise(order)
                    if first in statistics and second in statistics
                },
            }
        return {
            "runs": {a: len(runs) for a, runs in self.runs.items()},
            "diverged_runs": {a: sum(bool(run["diverged"].any()) for run in runs) for a, runs in self.runs.items()},
            "fits_on_edge": {a: f.on_edge.mean(axis=0).tolist() for a, f in self.fractions.items()},
            "fits": {a: describe_fits(f.fits) for a, f in self.fractions.items()},
            "quantities": quantities,
        }


def _verdicts(larger: tuple[Any, Any], smaller: tuple[Any, Any]) -> list[dict[str, Any]]:
    """Judge at each epoch whether one mean is above the other, in units of the standard error of the difference."""
    verdicts = []
    for difference, error in zip(larger[0] - smaller[0], np.hypot(larger[1], smaller[1]), strict=True):
        z = float(difference / error) if error > 0 else float("nan")
        verdict = "not decided" if not abs(z) >= 2 else "holds" if z > 0 else "reversed"
        verdicts.append({"difference": float(difference), "z": z, "verdict": verdict})
    return verdicts
