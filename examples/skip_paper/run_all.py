"""Reproduces figures of Orhan & Pitkow (2018): ``python examples/skip_paper/run_all.py --help``."""

import argparse
import datetime
import json
import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from skip_paper import figure3, figureS3
from skip_paper.data import Examples, Images, load_images, prepare
from skip_paper.presets import PRESETS, Preset
from skip_paper.runs import CONDITIONS, RunSpec, RunStore, compute_run

FIGURES = ("fig3", "figS3")


@dataclass(frozen=True)
class Context:
    """What every figure needs."""

    preset: Preset
    images: Images
    store: RunStore
    results: Path


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parse(arguments)
    start = time.monotonic()
    try:
        device = _device(options.device)
        store = RunStore(options.results / "runs")
        images = load_images("cifar100", options.data)
        context = Context(PRESETS[options.preset], images, store, options.results)
        specs = {name: _specs(name, context) for name in options.only}
        _compute([spec for group in specs.values() for spec in group], context, device)
        for name in options.only:
            _report(name, specs[name], context)
    except KeyboardInterrupt:
        print("\nInterrupted. Finished runs are kept: the same command goes on from there.", file=sys.stderr)
        return 130
    except (ValueError, MemoryError, OSError) as error:
        print(f"run_all.py: {error}", file=sys.stderr)
        return 1
    print(f"Done in {(time.monotonic() - start) / 60:.1f} minutes; figures are in {options.results}.")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Reproduce figures of Orhan & Pitkow, Skip Connections Eliminate Singularities (ICLR 2018).",
        epilog="Without --data, CIFAR-100 is looked for in $HESSDENS_DATA, ./data, the folders data and shared/data "
        "beside the repository, and the cache; else downloaded; else scikit-learn's digits are used, and every figure "
        "says so.",
    )
    parser.add_argument("--preset", default="laptop", choices=PRESETS, help="how much is run (default: laptop)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with CIFAR-100, unpacked or as .tar.gz")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="default: CUDA where it is")
    parser.add_argument("--only", type=_names, default=FIGURES, metavar="NAME,..", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: ./results")
    return parser.parse_args(arguments)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in FIGURES:
            raise argparse.ArgumentTypeError(f"figures must be of {', '.join(FIGURES)}; got {name!r}")
    return names


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda needs a CUDA device; torch finds none. Use --device cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _specs(name: str, context: Context) -> list[RunSpec]:
    fingerprint = context.images.fingerprint()
    if name == "fig3":
        return figure3.specs(context.preset, context.images, fingerprint)
    return figureS3.specs(context.preset, fingerprint)


def _compute(specs: list[RunSpec], context: Context, device: torch.device) -> None:
    """Compute the runs that are not in the store, with the time left."""
    missing = [spec for spec in specs if context.store.find(spec) is None]
    if len(missing) < len(specs):
        print(f"{len(specs) - len(missing)} of {len(specs)} runs are finished already.")
    prepared: dict[tuple[Any, ...], Examples] = {}
    # A run costs about its training steps and measurements times its parameters.
    with tqdm(total=sum(map(_cost, missing)), bar_format="{l_bar}{bar}| {elapsed} < {remaining}") as bar:
        for spec in missing:
            bar.set_description(f"{spec.architecture} {spec.depth}x{spec.width} seed {spec.seed}")
            key = (spec.scaling, spec.num_train, spec.num_components)
            if key not in prepared:
                prepared = {key: prepare(context.images, scaling=key[0], num_train=key[1], num_components=key[2])}
            compute = partial(
                compute_run, examples=prepared[key], num_classes=context.images.num_classes, device=device
            )
            context.store.get(spec, compute)
            bar.update(_cost(spec))


def _cost(spec: RunSpec) -> int:
    """Return a rough number of milliseconds on two cores, for the progress bar."""
    size = (spec.num_components or 3072) * spec.width + (spec.depth - 1) * spec.width**2
    gradient = 1e-6 + 5.5e-11 * size  # an example
    products = 2 * spec.num_probes + (2 * size if spec.exact else 0)
    examples = 500 * spec.measure_at[-1] + len(spec.measure_at) * spec.spectrum_examples * products
    return round(1000 * examples * gradient * (2 if spec.architecture == "hyper-residual" else 1))


def _report(name: str, specs: list[RunSpec], context: Context) -> None:
    """Draw a figure, write its numbers, and print what they say."""
    path = context.results / f"{name}.png"
    label = f"{context.images.title}; preset {context.preset.name}"
    if name == "fig3":
        from skip_paper import figure3_plot

        size = context.preset.fig3
        results = [figure3.Results(condition, specs, context.store) for condition in CONDITIONS.values()]
        images = 2 * min(size.num_train or len(context.images.train[0]), len(context.images.train[0]))
        caption = (
            f"{label}; {size.runs} runs each, {size.depth}x{size.width} networks, {images:,} images with mirrors; "
            f"error bars: standard errors over runs;\nspectra: {size.num_probes} probes, {size.spectrum_examples:,} "
            "examples, mixture fitted on the paper's grid"
        )
        figure3_plot.draw(results, caption, path)
        numbers: Any = {result.condition.name: result.summary() for result in results}
        _print_orderings(numbers)
    else:
        from skip_paper import figureS3_plot

        small = context.preset.figS3
        points = figureS3.collect(specs, context.store)
        caption = (
            f"{label}; {small.networks} plain {figureS3.DEPTH}x{small.width} networks, exact spectra after "
            f"{', '.join(map(str, small.measure_at))} training steps;\n{small.num_probes} probes, "
            f"{small.spectrum_examples:,} examples"
        )
        figureS3_plot.draw(points, caption, path)
        numbers = points.summary()
        print(f"figS3: {json.dumps(numbers, indent=1)}")
    header = {
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "data": context.images.title,
        "preset": context.preset.name,
    }
    _write(path.with_suffix(".json"), {**header, "results": numbers})


def _print_orderings(numbers: Any) -> None:
    for condition, summary in numbers.items():
        for quantity, entry in summary["quantities"].items():
            for ordering, verdicts in entry["orderings"].items():
                words = ", ".join(v["verdict"] for v in verdicts[1:])
                print(f"fig3 {condition}: {quantity}: {ordering} after epochs 1..{len(verdicts) - 1}: {words}")


def _write(path: Path, content: Any) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
