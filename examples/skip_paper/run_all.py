"""Reproduces Orhan & Pitkow (2018): ``python examples/skip_paper/run_all.py --help``."""

import argparse
import errno
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from skip_paper.data.images import Images, load_images
from skip_paper.data.other_images import load_substitute
from skip_paper.figures import (  # fmt: skip
    bias_targets,
    calibration,
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
from skip_paper.report.outcome import Outcome
from skip_paper.report.report import save_outcome, save_statements, write_report
from skip_paper.report.summary import ORDER
from skip_paper.runs.checking import check
from skip_paper.runs.compute import Computer
from skip_paper.runs.conditions import CONDITIONS
from skip_paper.runs.designs import Size
from skip_paper.runs.environment import choose_device, environment
from skip_paper.runs.finished import COMMITTED, FinishedRuns, collect
from skip_paper.runs.presets import PRESETS
from skip_paper.runs.projection import project
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.runs.store import RunStore

FIGURES: dict[str, ModuleType] = {
    "fig1": fig1, "fig2": fig2, "figS4": figS4, "figS5": figS5, "calibration": calibration, "fig3": fig3, "fig4": fig4,
    "fig5": fig5, "bias_targets": bias_targets, "fig6": fig6, "fig7": fig7, "fig8": fig8, "figS1": figS1,
    "figS2": figS2, "figS3": figS3, "figS6": figS6, "figS7": figS7,
}  # fmt: skip
# Titles of what needs no trained networks.
THEORY = {
    "fig1": "Singularities, and how skip connections break them",
    "fig2": "Why singularities are harmful",
    "figS4": "Linear three-layer networks",
    "figS5": "Mode strengths of linear networks",
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
    if not options.list and not options.collect and options.check is None and RANK == 0:
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
    parser.add_argument("--preset", choices=PRESETS, help="how much is run (default: laptop; of finished runs, study)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with the data sets, unpacked or as .tar.gz")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="default: CUDA where it is")
    parser.add_argument(
        "--only", type=_names, default=tuple(FIGURES), metavar="NAME,..", help=f"of {', '.join(FIGURES)}"
    )
    parser.add_argument("--condition", choices=CONDITIONS, help="one of the starts of hidden weights (default: both)")
    parser.add_argument(
        "--seed-offset", type=int, default=0, metavar="N", help="other seeds: do verdicts stay? (default: 0)"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: ./results")
    parser.add_argument(
        "--from-finished", nargs="?", type=Path, const=COMMITTED, metavar="FILE",
        help="draw all from a file of finished runs; train none (default: the committed file)",
    )  # fmt: skip
    parser.add_argument("--check", type=int, metavar="N", help="train finished run N again, and compare")
    parser.add_argument(
        "--collect", type=Path, metavar="FILE", help="add what is finished of the preset to a file of finished runs"
    )
    parser.add_argument("--plot-only", action="store_true", help="draw from finished runs; compute none")
    parser.add_argument("--list", action="store_true", help="say what would run, and how long it takes on this device")
    options = parser.parse_args(arguments)
    options.preset = options.preset or ("study" if options.from_finished else "laptop")
    return options


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in FIGURES:
            raise argparse.ArgumentTypeError(f"figures must be of {', '.join(FIGURES)}; got {name!r}")
    return names


def _run(options: argparse.Namespace) -> None:
    device = choose_device(options.device, LOCAL_RANK)

    @cache
    def load(name: str) -> Images:
        return load_substitute(name, options.data) if name in SUBSTITUTED else load_images(name, options.data)

    if options.check is not None:
        _check(options, device, load)
        return
    if options.from_finished:
        _draw_committed(options.from_finished, options.results, options.preset, options)
        return
    # Runs of the study that are committed are not trained again.
    committed_runs = FinishedRuns.load(COMMITTED) if options.preset == "study" and COMMITTED.exists() else None
    settings = _settings(options, options.preset, RunStore(options.results / "runs", committed_runs), load)
    if options.collect:
        _collect(options.collect, settings, load, device)
        return
    if options.list:
        if RANK == 0:
            project([(name, setting, FIGURES[name]) for name, setting in settings], device)
        return
    committed = None
    if is_first_view(options):
        committed = options.results / "committed"
        _draw_committed(COMMITTED, committed, "study", options)
        write_report(options.results, ORDER, options.preset, committed=committed)
        print(f"The report of committed runs is in {options.results}; this machine's numbers follow.")
    reporter = _Reporter(options.results, options.preset, environment(device), committed)
    for name in options.only:
        if name in THEORY and committed is None:
            reporter.theory(name)
    if options.plot_only:
        _draw_finished(settings, reporter)
    else:
        _compute(
            settings, reporter, Computer(settings[0][1].store, device, progress=RANK == 0) if settings else None, load
        )


def is_first_view(options: argparse.Namespace) -> bool:
    """Return whether the report is made from committed runs first: for a reader, who asks for nothing special."""
    plain = options.preset == "laptop" and not options.plot_only and options.seed_offset == 0
    return plain and options.only == tuple(FIGURES) and COMMITTED.exists() and RANK == 0


def _settings(
    options: argparse.Namespace, preset: str, store: RunStore, load: Callable[[str], Images]
) -> list[tuple[str, Setting]]:
    return [
        (design.figure, Setting(_shifted(design.size, options.seed_offset), CONDITIONS[condition], store, load))
        for design in PRESETS[preset].designs
        for condition in ([options.condition] if options.condition else design.conditions)
        if design.figure in options.only and condition in design.conditions
    ]


def _draw_committed(path: Path, folder: Path, preset: str, options: argparse.Namespace) -> None:
    """Draw all figures whose runs are in a file of finished ones, and the report."""
    finished = FinishedRuns.load(path)
    folder.mkdir(parents=True, exist_ok=True)
    reporter = _Reporter(folder, preset, dict(finished.origin), None)
    for name in options.only:
        if name in THEORY:
            reporter.theory(name)
    _draw_finished(_settings(options, preset, finished, finished.images_of), reporter)


def _collect(
    path: Path, settings: list[tuple[str, Setting]], load: Callable[[str], Images], device: torch.device
) -> None:
    """Add the finished runs of all settings to a file."""
    specs = dict.fromkeys(spec for name, setting in settings for spec in FIGURES[name].runs(setting))
    images = {name: load(name) for _, setting in settings for name in setting.size.data}
    runs = collect(path, specs, settings[0][1].store.find, images, environment(device))
    print(f"{path} has {len(runs.runs)} runs, {path.stat().st_size / 1e6:.1f} MB.")


def _check(options: argparse.Namespace, device: torch.device, load: Callable[[str], Images]) -> None:
    """Train one of the finished runs again, and say what differs."""
    print(check(FinishedRuns.load(options.from_finished or COMMITTED), options.check, load, device))


def _compute(
    settings: list[tuple[str, Setting]], reporter: "_Reporter", computer: Computer | None, load: Callable[[str], Images]
) -> None:
    """Compute the runs of all settings in their order; after each, draw its figure with what is finished of it."""
    finished: dict[str, list[Setting]] = {}
    for name, setting in settings:
        assert computer is not None
        reporter.begin(name)
        specs = FIGURES[name].runs(setting)
        computed = computer.compute(specs, _by_fingerprint(specs, setting, load), f"{name} {setting.name}")
        finished.setdefault(name, []).append(setting)
        reporter.finish(name, finished[name], computed)


def _draw_finished(settings: list[tuple[str, Setting]], reporter: "_Reporter") -> None:
    for name in dict.fromkeys(name for name, _ in settings):
        parts = [_finished_part(FIGURES[name], setting) for of, setting in settings if of == name]
        complete = [part for part in parts if part is not None]
        if complete:
            reporter.begin(name)
            reporter.finish(name, complete, 0)
        else:
            print(f"{name}: its runs are not all finished, so it is not drawn.")


class _Reporter:
    """Draws figures, and writes what they show and the report: in the first process only."""

    def __init__(self, folder: Path, preset: str, origin: dict[str, Any], committed: Path | None) -> None:
        self.folder, self.preset, self.environment, self.committed = folder, preset, origin, committed
        self.seconds: dict[str, float] = {}
        if RANK == 0 and committed is None:
            save_statements(folder)

    def begin(self, name: str) -> None:
        """Begin to count the time of a part of an experiment."""
        self.start = time.monotonic()

    def finish(self, name: str, settings: list[Setting], computed: int) -> None:
        """Draw and report an experiment from its finished runs, of which so many have been computed just now."""
        if RANK == 0:
            module = FIGURES[name]
            found = module.finish(settings, self.folder / f"{name}.png")
            if computed:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - self.start
            self._report(name, module.TITLE, found)

    def theory(self, name: str) -> None:
        """Draw and report what needs no trained networks."""
        if RANK == 0:
            self.begin(name)
            title, found = _theory(name, self.folder / f"{name}.png")
            self.seconds[name] = time.monotonic() - self.start
            self._report(name, title, found)

    def _report(self, name: str, title: str, found: Outcome) -> None:
        save_outcome(self.folder, name, title, self.preset, found, self.seconds.get(name), self.environment)
        write_report(self.folder, ORDER, self.preset, committed=self.committed)
        for condition, verdicts in found.verdicts.items():
            for verdict in verdicts:
                print(f"{name}{' ' + condition if condition else ''}: {verdict.claim}: {verdict.decision}")


def _shifted(size: Size, offset: int) -> Size:
    return replace(size, first_seed=size.first_seed + offset)


def _theory(name: str, path: Path) -> tuple[str, Outcome]:
    """Draw what needs no trained networks; return title and outcome."""
    module = FIGURES[name]
    if name == "fig1":
        return THEORY[name], Outcome({}, {}, module.draw(path))
    result = module.compute()
    return THEORY[name], Outcome({}, {"": module.verdicts(result)}, module.draw(result, path))


def _by_fingerprint(specs: list[RunSpec], setting: Setting, load: Callable[[str], Images]) -> dict[str, Images]:
    """Return the data sets of some runs."""
    found = {(images := load(name)).fingerprint: images for name in setting.size.data}
    return {spec.data: found[spec.data] for spec in specs}


def _finished_part(module: ModuleType, setting: Setting) -> Setting | None:
    """Return what is finished of a setting: all of it, else some of its data sets, else without its variants."""
    size = setting.size
    for values in (size.values, ()) if module is fig3 else (size.values,):
        for data in (size.data, *((name,) for name in size.data)):
            part = replace(setting, size=replace(size, data=data, values=values))
            if _complete(module, part):
                return part
    return None


def _complete(module: ModuleType, setting: Setting) -> bool:
    """Return whether all runs of an experiment are finished."""
    return all(setting.store.has(spec) for spec in module.runs(setting))


if __name__ == "__main__":
    sys.exit(main())
