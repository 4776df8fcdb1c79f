"""What each command does: arguments in, results and files out."""

import argparse
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from hessdens._checks import LEVEL, PAPER_WINDOW
from hessdens._version import __version__
from hessdens.cli.errors import FAILED, FINE, OPTIONS, CommandError, UsageError, tell
from hessdens.cli.factory import operator_from
from hessdens.densities.base import density_of, percent
from hessdens.densities.compare import compare
from hessdens.densities.kernel_polynomial import kernel_polynomial
from hessdens.densities.lanczos import wide_hint
from hessdens.densities.maximum_entropy import maximum_entropy
from hessdens.densities.spectrum import Spectrum
from hessdens.estimators.chebyshev import chebyshev_moments
from hessdens.estimators.exact import exact_spectrum
from hessdens.estimators.lanczos import lanczos_density
from hessdens.estimators.moments import spectral_moments
from hessdens.linalg.operator import Operator
from hessdens.loading import Result, load_result
from hessdens.mixture.uncertainty import fit_uncertainty
from hessdens.monitor.history import SpectrumHistory
from hessdens.plotting.density import plot_density
from hessdens.plotting.history import SIZE, history_axes, plot_history
from hessdens.summary import summary

# Of the JSON that commands print: raised when a key changes its meaning or goes.
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
    _check_out(arguments.out, arguments.force)
    chosen = _given(arguments, DENSITIES)
    return _finish(_density(_operator(arguments), arguments.method, chosen), arguments)


def _density(operator: Operator, method: str, chosen: dict[str, Any]) -> Result:
    if method == "lanczos":
        return lanczos_density(operator, **chosen)
    if method == "exact":
        return exact_spectrum(operator, **chosen)
    if method == "mixture":
        return fit_uncertainty(spectral_moments(operator, **chosen))
    moments = chebyshev_moments(operator, **chosen)
    return kernel_polynomial(moments) if method == "kernel-polynomial" else maximum_entropy(moments)


def moments(arguments: argparse.Namespace) -> int:
    """Estimate moments of the operator that a factory makes."""
    _check_out(arguments.out, arguments.force)
    names = (*SAMPLING, "num_moments", "rtol")
    chosen = _given(arguments, dict.fromkeys(("deflated", "skilling"), names))
    return _finish(spectral_moments(_operator(arguments), method=arguments.method, **chosen), arguments)


def show(arguments: argparse.Namespace) -> int:
    """Print what is in files."""
    for path in arguments.files:
        result = load_result(path)
        numbers = summary(result, window=arguments.window, level=arguments.level)
        if arguments.json:
            arguments.found.append({"file": path, **numbers})
            continue
        if path != arguments.files[0]:
            print()
        if len(arguments.files) > 1:
            print(f"{path}:")
        print(_printable(str(result)))
        if (arguments.window, arguments.level) != (PAPER_WINDOW, LEVEL) and "fractions" in numbers:
            fractions = numbers["fractions"]
            intervals = [(part["low"], part["high"]) for part in fractions.values() if _has_interval(part)]
            print(f"  {_fractions(fractions)}", *wide_hint(intervals), sep="\n")
    _print_json(arguments, results=arguments.found)
    return FINE


def plot(arguments: argparse.Namespace) -> int:
    """Draw densities from files on one pair of axes, or the history of a training run."""
    from matplotlib.figure import Figure  # here, since it takes 0.3 s to import

    _check_out(arguments.out, arguments.force)
    labels = arguments.labels or [Path(path).stem for path in arguments.files]
    if len(labels) != len(arguments.files):
        raise UsageError(f"--labels must be as many as files, {len(arguments.files)}; got {len(labels)}.")
    exact = None if arguments.exact is None else load_result(arguments.exact)
    if exact is not None and not isinstance(exact, Spectrum):
        raise CommandError(
            f"--exact must be a file with a Spectrum, from --method exact; {arguments.exact} holds "
            f"{type(exact).__name__}."
        )
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    kinds = sorted(figure.canvas.get_supported_filetypes())
    if Path(arguments.out).suffix[1:].lower() not in kinds:
        raise UsageError(f"--out must end in one of {', '.join(kinds)}; got {arguments.out!r}.")
    results = [load_result(path) for path in arguments.files]
    histories = [result for result in results if isinstance(result, SpectrumHistory)]
    if histories:
        if len(results) > 1 or arguments.labels or exact is not None:
            raise CommandError("A history must be the only file, without --labels and --exact.")
        figure.set_size_inches(*SIZE)
        plot_history(histories[0], axes=history_axes(figure), window=arguments.window)
    else:
        axes = figure.subplots()
        for index, (result, path, label) in enumerate(zip(results, arguments.files, labels, strict=True)):
            found = _checked_density(result, path)
            plot_density(
                found,
                exact=None if index else exact,
                ax=axes,
                label=label,
                window=arguments.window,
                level=arguments.level,
            )
    _save_figure(figure, Path(arguments.out), arguments.dpi)
    _print_json(arguments, files=arguments.files, out=arguments.out)
    if not arguments.json:
        print(arguments.out)
    return FINE


def compare_files(arguments: argparse.Namespace) -> int:
    """Print how far an estimate is from a reference."""
    estimate, exact = load_result(arguments.estimate), _checked_density(load_result(arguments.exact), arguments.exact)
    sizes = [getattr(result, "size", None) for result in (estimate, exact)]
    if None not in sizes and sizes[0] != sizes[1]:
        tell(f"warning: {arguments.estimate} has {sizes[0]:,} eigenvalues, {arguments.exact} {sizes[1]:,}.")
    known: Any = estimate  # what it must be is for compare to say
    try:
        found = compare(known, exact, num_moments=arguments.num_moments, window=arguments.window)
    except TypeError as error:
        raise CommandError(f"{arguments.estimate} holds no estimate that can be compared: {error}") from error
    _print_json(arguments, estimate=arguments.estimate, exact=arguments.exact, comparison=summary(found))
    if not arguments.json:
        print(found)
    return FINE


def validate(arguments: argparse.Namespace) -> int:
    """Check accuracy on this machine, and measure speed."""
    from hessdens.cli.factory import checked_device
    from hessdens.cli.self_test import CHECKS, run_check

    device = checked_device(arguments.device or "cpu")
    passed = True
    for check in CHECKS:
        if not arguments.quiet and sys.stderr.isatty():
            print(f"\r\x1b[K{check.__name__.replace('_', ' ')} ...", end="", file=sys.stderr, flush=True)
        outcomes = run_check(check, device)
        if not arguments.quiet and sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        for outcome in outcomes:
            passed &= outcome.passed
            arguments.found.append(outcome.to_dict())
            if not arguments.json:
                print(outcome)
    _print_json(arguments, device=str(device), passed=passed, checks=arguments.found)
    if not passed:
        tell("a check failed: results on this machine and device are not to be trusted.")
    return FINE if passed else FAILED


def _operator(arguments: argparse.Namespace) -> Operator:
    return operator_from(
        arguments.factory,
        curvature=arguments.curvature,
        device=arguments.device,
        dtype=arguments.dtype,
        parameters=arguments.parameters,
    )


def _given(arguments: argparse.Namespace, methods: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return the arguments of the method that were given; an error for those of other methods."""
    known = methods[arguments.method]
    everything = {name for names in methods.values() for name in names}
    values = {name: getattr(arguments, name) for name in sorted(everything)}
    given = {name: value for name, value in values.items() if value is not None and value is not False}
    for name in given:
        if name not in known:
            takers = [method for method, names in methods.items() if name in names]
            option = OPTIONS.get(name, f"--{name.replace('_', '-')}")
            raise UsageError(f"{option} is for --method {' or '.join(takers)}; got --method {arguments.method}.")
    return {**given, "progress": arguments.progress}


def _check_out(out: str | None, force: bool) -> None:
    """Raise before the work begins if its result could not be written."""
    if out is None:
        return
    path = Path(out)
    if path.is_dir():
        raise UsageError(f"--out must be a file; {out} is a folder.")
    if not path.parent.is_dir():
        raise UsageError(f"--out must be in a folder that exists; there is no {path.parent}. Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"--out must be in a folder that can be written to; {path.parent} cannot.")
    if path.exists() and not force:
        raise UsageError(f"--out must be a new file; {out} exists. Give another name, or --force to replace it.")


def _finish(result: Result, arguments: argparse.Namespace) -> int:
    if arguments.out is not None:
        result.save(arguments.out)
    _print_json(arguments, results=[{"file": arguments.out, **summary(result)}])
    if not arguments.json:
        print(result)
    return FINE


def _print_json(arguments: argparse.Namespace, **content: Any) -> None:
    if arguments.json:
        head = {"schema": SCHEMA, "hessdens": __version__, "command": arguments.command}
        print(json.dumps({**head, **content}, indent=1, allow_nan=False))


def _checked_density(result: Any, path: str) -> Any:
    try:
        return density_of(result, path)
    except TypeError as error:
        raise CommandError(str(error)) from error


def _fractions(fractions: dict[str, Any]) -> str:
    def text(fraction: dict[str, float]) -> str:
        interval = f" ({percent(fraction['low'])} to {percent(fraction['high'])})" if _has_interval(fraction) else ""
        return percent(fraction["value"]) + interval

    head = f"{text(fractions['degenerate'])} degenerate, {text(fractions['negative'])} negative"
    return f"{head} (window {fractions['window']:g}, {100 * fractions['level']:.4g}% intervals)"


def _has_interval(part: Any) -> bool:
    return isinstance(part, dict) and "low" in part


def _printable(text: str) -> str:
    """Return text without what would move a terminal's cursor: it may come from a stranger's file."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def _save_figure(figure: Any, path: Path, dpi: int) -> None:
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.tmp{path.suffix}")
    try:
        figure.savefig(temporary, dpi=dpi)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
