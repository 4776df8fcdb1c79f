"""Reproduces Orhan & Pitkow (2018): ``python examples/skip_paper/run_all.py --help``."""

import argparse
import errno
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from skip_paper.data.images import Images, load_images
from skip_paper.data.other_images import load_substitute
from skip_paper.figures import (  # fmt: skip
    conditions,
    fig1,
    fig2,
    fig3,
    fig4,
    fig5,
    fig6,
    fig7,
    fig8,
    figS1,
    figS2,
    figS3,
    figS4,
    figS5,
    figS6,
    figS7,
)
from skip_paper.report.report import save_outcome, write_report
from skip_paper.runs.compute import Computer
from skip_paper.runs.environment import environment
from skip_paper.runs.experiment import CONDITIONS, Condition, Outcome, Setting
from skip_paper.runs.presets import PRESETS, Preset
from skip_paper.runs.projection import project
from skip_paper.runs.store import RunSpec, RunStore

# In order of interest: the report is rewritten after each.
FIGURES: dict[str, ModuleType] = {
    "fig3": fig3, "fig1": fig1, "fig2": fig2, "figS4": figS4, "figS5": figS5, "fig5": fig5, "fig6": fig6, "fig4": fig4,
    "figS1": figS1, "fig7": fig7, "fig8": fig8, "figS2": figS2, "figS3": figS3, "figS6": figS6, "figS7": figS7,
}  # fmt: skip
# Run when asked for.
STUDIES: dict[str, ModuleType] = {"conditions": conditions}
# Title and caption of what needs no trained networks.
THEORY = {
    "fig1": ("Singularities, and how skip connections break them", "A drawing, without data"),
    "fig2": ("Why singularities are harmful", "Toy models and simulated teacher-student networks; no images"),
    "figS4": ("Linear three-layer networks", "Equations 12-19, by gradient descent; no images"),
    "figS5": ("Mode strengths of linear networks", "Equations 29-31, gradient flow; no images"),
}
SUBSTITUTED = ("svhn", "stl10")
# As torchrun says: every process computes runs that no other has begun, and the first draws once all are there.
RANK, LOCAL_RANK = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parse(arguments)
    start = time.monotonic()
    try:
        _run(options)
    except KeyboardInterrupt:
        print("\nInterrupted. Finished runs are kept: the same command goes on from there.", file=sys.stderr)
        return 130
    except OSError as error:
        full = error.errno == errno.ENOSPC
        words = "the disk is full. What is written is whole: make room, and the same command goes on" if full else error
        print(f"run_all.py: {words}", file=sys.stderr)
        return 1
    except (ValueError, MemoryError) as error:
        print(f"run_all.py: {error}", file=sys.stderr)
        return 1
    if not options.list and RANK == 0:
        minutes = (time.monotonic() - start) / 60
        print(f"Done in {minutes:.1f} minutes; figures and report.html are in {options.results}.")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Reproduce Orhan & Pitkow, Skip Connections Eliminate Singularities (ICLR 2018).",
        epilog="Without --data, CIFAR is looked for in $HESSDENS_DATA, ./data, the folders data and shared/data beside "
        "the repository, and the cache; else downloaded; else scikit-learn's digits are used, and every figure says "
        "so. Several processes may share one results folder; torchrun --nproc-per-node N run_all.py starts N of them.",
    )
    names = [*FIGURES, *STUDIES]
    parser.add_argument("--preset", default="laptop", choices=PRESETS, help="how much is run (default: laptop)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with the data sets, unpacked or as .tar.gz")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="default: CUDA where it is")
    parser.add_argument("--only", type=_names, default=tuple(FIGURES), metavar="NAME,..", help=f"of {', '.join(names)}")
    parser.add_argument(
        "--condition", choices=(*CONDITIONS, "both"),
        help="start of hidden weights: as stated, or smaller (default: both where the preset says so, else literal)",
    )  # fmt: skip
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: ./results")
    parser.add_argument("--plot-only", action="store_true", help="draw from finished runs; compute none")
    parser.add_argument("--list", action="store_true", help="say what would run, and how long it takes on this device")
    return parser.parse_args(arguments)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in FIGURES and name not in STUDIES:
            raise argparse.ArgumentTypeError(f"figures must be of {', '.join([*FIGURES, *STUDIES])}; got {name!r}")
    return names


def _run(options: argparse.Namespace) -> None:
    device = choose_device(options.device)
    preset = PRESETS[options.preset]
    store = RunStore(options.results / "runs")

    @cache
    def load(name: str) -> Images:
        return load_substitute(name, options.data) if name in SUBSTITUTED else load_images(name, options.data)

    settings = {
        name: [Setting(preset.sizes[name], condition, store, load) for condition in _conditions(name, preset, options)]
        for name in options.only
        if name not in THEORY
    }
    if options.list:
        if RANK == 0:
            project({n: [(s, _module(n)) for s in group] for n, group in settings.items()}, device)
        return
    computer = Computer(store, device, progress=RANK == 0)
    reporter = _Reporter(options.results, preset.name, device)
    for name in options.only:
        reporter.begin()
        if name in THEORY:
            reporter.theory(name)
        elif not options.plot_only:
            for count, setting in enumerate(settings[name], 1):
                for specs in _module(name).stages(setting):
                    title = f"{name} {setting.condition.name}"
                    reporter.computed += computer.compute(specs, _by_fingerprint(specs, name, load), title)
                # A figure is drawn after each condition: the first is there in half the time.
                reporter.finish(name, settings[name][:count])
        elif _complete(_module(name), settings[name]):
            reporter.finish(name, settings[name])
        else:
            print(f"{name}: its runs are not all finished, so it is not drawn.")
            continue
        reporter.print_verdicts(name)


class _Reporter:
    """Draws figures, and writes what they show and the report: in the first process only."""

    def __init__(self, folder: Path, preset: str, device: torch.device) -> None:
        self.folder, self.preset, self.environment = folder, preset, environment(device)
        self.found = Outcome({}, {}, "")

    def begin(self) -> None:
        """Begin to count the time and the runs of an experiment."""
        self.start, self.computed = time.monotonic(), 0

    def finish(self, name: str, settings: list[Setting]) -> None:
        """Draw and report an experiment from its finished runs."""
        if RANK == 0:
            module = _module(name)
            self._report(name, module.TITLE, module.finish(settings, self.folder / f"{name}.png"))

    def theory(self, name: str) -> None:
        """Draw and report what needs no trained networks."""
        if RANK == 0:
            self._report(name, *_theory(name, self.folder / f"{name}.png"))

    def _report(self, name: str, title: str, found: Outcome) -> None:
        self.found = found
        seconds = time.monotonic() - self.start if self.computed or name in THEORY else None
        save_outcome(self.folder, name, title, self.preset, found, seconds, self.environment)
        write_report(self.folder, [*FIGURES, *STUDIES], self.preset)

    def print_verdicts(self, name: str) -> None:
        """Print the verdicts of the latest report."""
        for condition, verdicts in self.found.verdicts.items():
            for verdict in verdicts:
                print(f"{name}{' ' + condition if condition else ''}: {verdict.claim}: {verdict.decision}")


def _module(name: str) -> ModuleType:
    return FIGURES.get(name) or STUDIES[name]


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is CUDA where it is."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda needs a CUDA device; torch finds none. Use --device cpu.")
    use_cuda = name != "cpu" and torch.cuda.is_available()
    return torch.device("cuda", LOCAL_RANK) if use_cuda else torch.device("cpu")


def _conditions(name: str, preset: Preset, options: argparse.Namespace) -> list[Condition]:
    chosen = options.condition or ("both" if name in preset.both else "literal")
    return list(CONDITIONS.values()) if chosen == "both" else [CONDITIONS[chosen]]


def _theory(name: str, path: Path) -> tuple[str, Outcome]:
    """Draw what needs no trained networks; return title and outcome."""
    module = _module(name)
    title, caption = THEORY[name]
    if name == "fig1":
        module.draw(path)
        return title, Outcome({}, {}, caption)
    result = module.compute()
    module.draw(result, path, caption)
    return title, Outcome({}, {"": module.verdicts(result)}, caption)


def _by_fingerprint(specs: list[RunSpec], name: str, load: Callable[[str], Images]) -> dict[str, Images]:
    """Return the data sets of some runs."""
    wanted = {spec.data for spec in specs}
    found = {}
    for data in ("cifar100", "cifar10", *SUBSTITUTED) if name == "figS7" else ("cifar100", "cifar10"):
        if wanted - set(found):
            images = load(data)
            found[images.fingerprint()] = images
    return found


def _complete(module: ModuleType, settings: list[Setting]) -> bool:
    """Return whether all runs of an experiment are finished. A later stage is looked at once the earlier are there."""
    return all(setting.store.has(spec) for setting in settings for specs in module.stages(setting) for spec in specs)


if __name__ == "__main__":
    sys.exit(main())
