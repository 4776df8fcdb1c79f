"""What each command does: arguments in, results and files out."""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from tqdm import tqdm

from hessdens._checks import LEVEL, PAPER_WINDOW
from hessdens._version import __version__
from hessdens.cli import self_test
from hessdens.cli.errors import FAILED, FINE, OPTIONS, CommandError, UsageError, tell, with_options
from hessdens.cli.factory import checked_device, operator_from
from hessdens.cli.report import names_of, page
from hessdens.densities import Density, Spectrum, compare, kernel_polynomial, maximum_entropy
from hessdens.densities.lanczos import LanczosDensity
from hessdens.eigenvectors import eigenpairs
from hessdens.estimators import (
    certified_counts,
    chebyshev_moments,
    exact_spectrum,
    lanczos_density,
    layer_moments,
    spectral_moments,
)
from hessdens.linalg import Operator
from hessdens.linalg.memory import readable_bytes
from hessdens.loading import Result, load_result
from hessdens.mixture import FitUncertainty, MixtureFit, fit_uncertainty
from hessdens.monitor import SpectrumHistory
from hessdens.plotting import plot_density, plot_history
from hessdens.plotting.axes import SIZE, page_class
from hessdens.plotting.history import SIZE as HISTORY_SIZE
from hessdens.plotting.history import history_axes
from hessdens.results import Moments
from hessdens.results.files import replaceable, replacing
from hessdens.results.summaries.text import percent

# Version of the JSON that commands print. It grows when a key changes its meaning or goes.
SCHEMA = 1
# Options that reach each method's estimator, by the name of the argument.
SAMPLING = ("seed", "distribution", "checkpoint", "num_probes", "max_products")
DENSITIES = {
    "lanczos": (*SAMPLING, "num_steps", "low_memory"),
    "kernel-polynomial": (*SAMPLING, "num_moments"),
    "maximum-entropy": (*SAMPLING, "num_moments"),
    "mixture": (*SAMPLING, "rtol"),
    "exact": ("max_size",),
}


def density(arguments: argparse.Namespace) -> int:
    """Estimate a density of the operator that a factory makes."""
    _check_out(arguments)
    options = _options(arguments, DENSITIES)
    result = _density(operator_from(arguments), arguments.method, options)
    status = _finish(result, arguments)
    if not arguments.json:
        _print_fractions(result, arguments)
    return status


def _density(operator: Operator, method: str, options: dict[str, Any]) -> Result:
    if method == "lanczos":
        return lanczos_density(operator, **options)
    if method == "exact":
        return exact_spectrum(operator, **options)
    if method == "mixture":
        return fit_uncertainty(spectral_moments(operator, **options))
    moments = chebyshev_moments(operator, **options)
    return kernel_polynomial(moments) if method == "kernel-polynomial" else maximum_entropy(moments)


def moments(arguments: argparse.Namespace) -> int:
    """Estimate moments of the operator that a factory makes."""
    _check_out(arguments)
    names = (*SAMPLING, "num_moments", "rtol")
    options = _options(arguments, dict.fromkeys(("deflated", "skilling"), names))
    if arguments.layers:
        return _layers(arguments, options)
    return _finish(spectral_moments(operator_from(arguments), method=arguments.method, **options), arguments)


def _layers(arguments: argparse.Namespace, options: dict[str, Any]) -> int:
    """Estimate moments of each layer, and write a file for each."""
    foreign = [name for name in ("max_products", "rtol") if name in options]
    if foreign or arguments.method == "skilling":
        what = OPTIONS[foreign[0]] if foreign else "--method skilling"
        raise UsageError(f"--layers takes --probes for each layer, and no {what}.")
    layers = layer_moments(operator_from(arguments), **options)
    paths = {name: None if arguments.out is None else _of_layer(arguments.out, name) for name in layers}
    for name, result in layers.items():
        if (path := paths[name]) is not None:
            result.save(path)
    _print_json(arguments, results=[{"layer": k, "file": paths[k], **m.numbers()} for k, m in layers.items()])
    if not arguments.json:
        width = max(len(name) for name in layers)
        print(f"{'layer':<{width}} {'parameters':>12} {'trace':>12} {'error':>10}")
        for name, m in layers.items():
            print(f"{name:<{width}} {m.size:>12,} {m.trace:>12.4g} {m.trace_error:>10.1g}")
    _tell_of_checkpoint(arguments)
    return FINE


def _of_layer(out: str, layer: str) -> str:
    path = Path(out)
    return str(path.with_name(f"{path.stem}.{layer or 'all'}{path.suffix}"))


def report(arguments: argparse.Namespace) -> int:
    """Write a page about results from files."""
    _check_out(arguments)
    results = dict(zip(names_of(arguments.files), map(load_result, arguments.files), strict=True))
    text = page(results, arguments.window, arguments.level)
    with replacing(arguments.out) as file:
        file.write(text.encode())
    _print_json(arguments, files=arguments.files, out=arguments.out)
    if not arguments.json:
        print(arguments.out)
    return FINE


def certify(arguments: argparse.Namespace) -> int:
    """Bound numbers of eigenvalues of the operator that a factory makes."""
    _check_out(arguments)
    values = {name: getattr(arguments, name) for name in ("window", "level", "max_products", "seed", "checkpoint")}
    options: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    return _finish(certified_counts(operator_from(arguments), **options, progress=arguments.progress), arguments)


def eigenvectors(arguments: argparse.Namespace) -> int:
    """Find eigenpairs of the operator that a factory makes."""
    _check_out(arguments)
    names = ("k", "which", "rtol", "max_products", "block_size", "num_vectors", "seed", "checkpoint")
    options: dict[str, Any] = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    return _finish(eigenpairs(operator_from(arguments), **options, progress=arguments.progress), arguments)


def show(arguments: argparse.Namespace) -> int:
    """Print what is in files."""
    results = []
    for path in arguments.files:
        result = load_result(path)
        numbers = result.numbers(arguments.window, arguments.level)
        if arguments.json:
            results.append({"file": path, **numbers})
            continue
        if path != arguments.files[0]:
            print()
        if len(arguments.files) > 1:
            print(f"{path}:")
        print(_printable(with_options(str(result))))
        _print_fractions(result, arguments)
    _print_json(arguments, results=results)
    return FINE


def _print_fractions(result: Any, arguments: argparse.Namespace) -> None:
    """Print fractions in a window, and intervals at a level, that the summary has not."""
    if (arguments.window, arguments.level) == (PAPER_WINDOW, LEVEL):
        return
    numbers = result.numbers(arguments.window, arguments.level)
    if "fractions" in numbers:
        hint = result.wide_hint(arguments.window, arguments.level) if isinstance(result, LanczosDensity) else []
        print(_fractions(numbers["fractions"]), *map(with_options, hint), sep="\n")


def plot(arguments: argparse.Namespace) -> int:
    """Draw densities from files on one pair of axes, or the history of a training run."""
    _check_out(arguments)
    labels = arguments.labels or [Path(path).stem for path in arguments.files]
    if len(labels) != len(arguments.files):
        raise UsageError(f"--labels must be as many as files, {len(arguments.files)}; got {len(labels)}.")
    exact = None
    if arguments.exact is not None:
        exact = _loaded(arguments.exact, Spectrum, what="exact eigenvalues, from --method exact")
    figure = page_class()(figsize=SIZE, layout="constrained")
    kind, kinds = Path(arguments.out).suffix[1:].lower(), sorted(figure.canvas.get_supported_filetypes())
    if kind not in kinds:
        raise UsageError(f"--out must end in one of {', '.join(kinds)}; got {arguments.out!r}.")
    results = [_loaded(path, Density, SpectrumHistory, what="a density or a history") for path in arguments.files]
    if any(isinstance(result, SpectrumHistory) for result in results):
        if exact is not None or not all(isinstance(result, SpectrumHistory) for result in results):
            raise CommandError("Histories must be drawn apart from densities, without --exact.")
        figure.set_size_inches(*HISTORY_SIZE)
        runs = results[0] if len(results) == 1 else dict(zip(labels, results, strict=True))
        plot_history(runs, axes=history_axes(figure), window=arguments.window)
    else:
        axes, drawing = figure.subplots(), {"window": arguments.window, "level": arguments.level}
        for index, (result, label) in enumerate(zip(results, labels, strict=True)):
            plot_density(result, exact=None if index else exact, ax=axes, label=label, **drawing)
    with replacing(arguments.out) as file:
        try:
            figure.savefig(file, format=kind, dpi=arguments.dpi)
        except (ValueError, RuntimeError, MemoryError) as error:  # a formula in a label, LaTeX that is not there
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise CommandError(f"{arguments.out} must be a picture that can be drawn: {reason[0]}") from error
    _print_json(arguments, files=arguments.files, out=arguments.out)
    if not arguments.json:
        print(arguments.out)
    return FINE


def compare_files(arguments: argparse.Namespace) -> int:
    """Print how far an estimate is from a reference."""
    estimate = _loaded(arguments.estimate, Density, Moments, what="a density or moments")
    exact = _loaded(arguments.reference, Density, what="a density, usually exact eigenvalues")
    sizes = [getattr(result, "size", None) for result in (estimate, exact)]
    if None not in sizes and sizes[0] != sizes[1]:
        tell(f"warning: {arguments.estimate} has {sizes[0]:,} eigenvalues, {arguments.reference} {sizes[1]:,}.")
    names = tuple(Path(path).stem for path in (arguments.estimate, arguments.reference))
    labels = None if isinstance(exact, Spectrum) else (names[0], names[1])
    comparison = compare(estimate, exact, num_moments=arguments.num_moments, window=arguments.window, labels=labels)
    _print_json(arguments, estimate=arguments.estimate, exact=arguments.reference, comparison=comparison.numbers())
    if not arguments.json:
        print(comparison)
    return FINE


def validate(arguments: argparse.Namespace) -> int:
    """Check accuracy on this machine, and measure speed."""
    device = checked_device(arguments.device or "cpu")
    outcomes = []
    with tqdm(self_test.CHECKS, unit="check", disable=not arguments.progress, leave=False) as bar:
        for check in bar:
            bar.set_description(check.__name__.replace("_", " "))
            for outcome in self_test.run_check(check, device):
                outcomes.append(outcome)
                if not arguments.json:
                    bar.write(str(outcome))
    passed = all(outcome.passed for outcome in outcomes)
    _print_json(arguments, device=str(device), passed=passed, checks=[outcome.to_dict() for outcome in outcomes])
    if passed and not arguments.json:
        print(f"All {sum(outcome.limit is not None for outcome in outcomes)} checks passed.")
    if not passed:
        tell("a check failed: results on this machine and device are not to be trusted.")
    return FINE if passed else FAILED


def _options(arguments: argparse.Namespace, methods: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return the options of the method that were set; UsageError for those of other methods."""
    values = {name: getattr(arguments, name) for name in sorted(set().union(*methods.values()))}
    options = {name: value for name, value in values.items() if value is not None and value is not False}
    foreign = [name for name in options if name not in methods[arguments.method]]
    if foreign:
        name = foreign[0]
        takers = [method for method, names in methods.items() if name in names]
        option = OPTIONS.get(name, f"--{name.replace('_', '-')}")
        raise UsageError(f"{option} is for --method {' or '.join(takers)}; got --method {arguments.method}.")
    return {**options, "progress": arguments.progress}


def _check_out(arguments: argparse.Namespace) -> None:
    """Raise UsageError, before the work begins, if its result could not be written."""
    if arguments.out is None:
        return
    try:
        place = replaceable(arguments.out)
        with TemporaryFile(dir=place.parent):  # which shows whether the folder can be written to
            pass
    except (OSError, ValueError) as error:
        raise UsageError(f"--out must be a file that can be written. {error}") from error
    if place.exists() and not arguments.force:
        raise UsageError(
            f"--out must be a new file; {arguments.out} exists. Give another name, or --force to replace it."
        )


def _finish(result: Result, arguments: argparse.Namespace) -> int:
    if arguments.out is not None:
        result.save(arguments.out)
    settings = (arguments.window, arguments.level) if arguments.command == "density" else ()
    _print_json(arguments, results=[{"file": arguments.out, **result.numbers(*settings)}])
    if not arguments.json:
        print(with_options(str(result)))
    _tell_of_checkpoint(arguments)
    return FINE


def _tell_of_checkpoint(arguments: argparse.Namespace) -> None:
    """Say how large the folder of finished work is, and what it is still good for."""
    if arguments.checkpoint is not None:
        size = sum(file.stat().st_size for file in Path(arguments.checkpoint).rglob("*") if file.is_file())
        tell(
            f"{arguments.checkpoint} holds {readable_bytes(size)} of finished work. The same command with more "
            "products goes on from it; delete the folder if you need no more."
        )


def _print_json(arguments: argparse.Namespace, **content: Any) -> None:
    if arguments.json:
        head = {"schema": SCHEMA, "hessdens": __version__, "command": arguments.command}
        print(json.dumps({**head, **content}, indent=1, allow_nan=False))


def _loaded(path: str, *kinds: type[Any], what: str) -> Any:
    """Return the result in a file, and of a fit its mixture; CommandError unless it is of one of the kinds."""
    result = load_result(path)
    estimate = result.mixture if isinstance(result, MixtureFit | FitUncertainty) else result
    if not isinstance(estimate, kinds):
        raise CommandError(f"{path} must hold {what}; it holds {type(result).__name__}.")
    return estimate


def _fractions(fractions: dict[str, Any]) -> str:
    """Return the line on fractions and their intervals."""
    texts = []
    for name in ("degenerate", "negative"):
        part = fractions[name]
        texts.append(f"{percent(part['value'])} {name}")
        if "low" in part:
            texts[-1] = f"{percent(part['value'])} ({percent(part['low'])} to {percent(part['high'])}) {name}"
    settings = f"(window {fractions['window']:g}, {100 * fractions['level']:.4g}% intervals)"
    return f"  {', '.join(texts)} {settings}"


def _printable(text: str) -> str:
    """Return text without what would move a terminal's cursor: it may come from a stranger's file."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
