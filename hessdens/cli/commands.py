"""What each command does: arguments in, results and files out."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hessdens.cli import self_test
from hessdens.cli.errors import FAILED, FINE, OPTIONS, CommandError, UsageError, tell, with_options
from hessdens.cli.factory import checked_device, operator_from
from hessdens.cli.output import check_out, finish, loaded, print_json, printable, summary, tell_of_checkpoint
from hessdens.cli.pictures import DRAWN, WHAT, draw
from hessdens.cli.report import names_of, page
from hessdens.curvature import gradient_noise
from hessdens.densities import Density, Spectrum, compare, kernel_polynomial, maximum_entropy
from hessdens.eigenvectors import eigenpairs
from hessdens.estimators import (
    certified_counts,
    chebyshev_moments,
    exact_spectrum,
    lanczos_density,
    spectral_moments,
)
from hessdens.estimators.run import progress_bar
from hessdens.linalg import Operator
from hessdens.loading import Result, load_result
from hessdens.mixture import fit_uncertainty
from hessdens.plotting.axes import SIZE, page_class
from hessdens.results import Moments
from hessdens.results.files import replacing
from hessdens.structure import (
    attention_parts,
    block_norms,
    class_structure,
    curvature_halves,
    diagonal,
    layer_moments,
    layer_traces,
    output_gram,
)

# Options that reach each method's estimator, by the name of the argument.
SAMPLING = ("seed", "distribution", "checkpoint", "num_probes", "max_products")
DENSITIES = {
    "lanczos": (*SAMPLING, "num_steps", "low_memory", "rtol", "atol"),
    "kernel-polynomial": (*SAMPLING, "num_moments"),
    "maximum-entropy": (*SAMPLING, "num_moments"),
    "mixture": (*SAMPLING, "rtol"),
    "exact": ("max_size",),
}
HEADS = ("num_heads", "num_key_value_heads")
# Those that each question of the command for structure takes.
STRUCTURES = {
    "traces": ("max_products", "rtol", "atol", "seed", "checkpoint", *HEADS),
    "diagonal": ("max_products", "seed", "checkpoint"),
    "blocks": ("num_probes", "seed", "checkpoint", *HEADS),
    "halves": ("max_products", "seed", "checkpoint"),
    "gauss-newton": ("max_rows",),
    "classes": ("max_rows",),
}


def density(arguments: argparse.Namespace) -> int:
    """Estimate a density of the operator that a factory makes."""
    check_out(arguments)
    options = _options(arguments, DENSITIES, "method")
    if arguments.method == "lanczos" and arguments.window is not None:
        options["window"] = arguments.window
    operator: Any = operator_from(arguments)
    noise = gradient_noise(operator) if arguments.gradient else None
    return finish(_density(operator, arguments.method, options), arguments, noise)


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
    check_out(arguments)
    names = (*SAMPLING, "num_moments", "rtol")
    options = _given(arguments, names)
    if arguments.layers:
        return _layers(arguments, options)
    return finish(spectral_moments(operator_from(arguments), method=arguments.method, **options), arguments)


def _layers(arguments: argparse.Namespace, options: dict[str, Any]) -> int:
    """Estimate moments of each layer, and write a file for each."""
    layers = layer_moments(operator_from(arguments), method=arguments.method, **options)
    paths = {name: None if arguments.out is None else _of_layer(arguments.out, name) for name in layers}
    for name, result in layers.items():
        if (path := paths[name]) is not None:
            result.save(path)
    print_json(arguments, results=[{"layer": k, "file": paths[k], **m.numbers()} for k, m in layers.items()])
    if not arguments.json:
        width = max(len(name) for name in layers)
        print(f"{'layer':<{width}} {'parameters':>12} {'trace':>12}   95% interval")
        for name, m in layers.items():
            low, high = m.size * m.interval()[:, 0]
            print(f"{name:<{width}} {m.size:>12,} {m.trace:>12.4g}   {low:.4g} to {high:.4g}")
    tell_of_checkpoint(arguments)
    return FINE


def _of_layer(out: str, layer: str) -> str:
    path = Path(out)
    return str(path.with_name(f"{path.stem}.{layer or 'all'}{path.suffix}"))


def report(arguments: argparse.Namespace) -> int:
    """Write a page about results from files."""
    check_out(arguments)
    results = dict(zip(names_of(arguments.files), map(load_result, arguments.files), strict=True))
    text = page(results, arguments.window, arguments.level)
    with replacing(arguments.out) as file:
        file.write(text.encode())
    print_json(arguments, files=arguments.files, out=arguments.out)
    if not arguments.json:
        print(arguments.out)
    return FINE


def certify(arguments: argparse.Namespace) -> int:
    """Bound numbers of eigenvalues of the operator that a factory makes."""
    check_out(arguments)
    options = _given(arguments, ("window", "level", "max_products", "seed", "checkpoint"))
    return finish(certified_counts(operator_from(arguments), **options), arguments)


def structure(arguments: argparse.Namespace) -> int:
    """Say where in the matrix of a factory its size lies."""
    check_out(arguments)
    options = _options(arguments, STRUCTURES, "what")
    if arguments.what in ("gauss-newton", "classes") and arguments.curvature is None:
        arguments.curvature = "ggn"
    heads, shared = (options.pop(name, None) for name in HEADS)
    if shared is not None and heads is None:
        raise UsageError("--key-value-heads needs --heads, those of queries.")
    operator = operator_from(arguments)
    if heads is not None:
        parts = attention_parts(operator, heads, num_key_value_heads=shared)
        options["layers" if arguments.what == "traces" else "parts"] = parts
    return finish(_structure(operator, arguments.what, options), arguments)


def _structure(operator: Operator, what: str, options: dict[str, Any]) -> Result:
    if what == "gauss-newton":
        return output_gram(operator, **options).spectrum()
    if what == "classes":
        return class_structure(output_gram(operator, **options))
    functions: dict[str, Any] = {
        "traces": layer_traces,
        "diagonal": diagonal,
        "blocks": block_norms,
        "halves": curvature_halves,
    }
    result: Result = functions[what](operator, **options)
    return result


def eigenvectors(arguments: argparse.Namespace) -> int:
    """Find eigenpairs of the operator that a factory makes."""
    check_out(arguments)
    names = ("k", "which", "rtol", "max_products", "block_size", "num_vectors", "seed", "checkpoint")
    return finish(eigenpairs(operator_from(arguments), **_given(arguments, names)), arguments)


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
        print(printable(with_options(summary(result, arguments.window, arguments.level))))
    print_json(arguments, results=results)
    return FINE


def plot(arguments: argparse.Namespace) -> int:
    """Draw results from files."""
    check_out(arguments)
    labels = arguments.labels or [Path(path).stem for path in arguments.files]
    if len(labels) != len(arguments.files):
        raise UsageError(f"--labels must be as many as files, {len(arguments.files)}; got {len(labels)}.")
    exact = None
    if arguments.exact is not None:
        exact = loaded(arguments.exact, Spectrum, what="exact eigenvalues, from --method exact")
    figure = page_class()(figsize=SIZE, layout="constrained")
    kind, kinds = Path(arguments.out).suffix[1:].lower(), sorted(figure.canvas.get_supported_filetypes())
    if kind not in kinds:
        raise UsageError(f"--out must end in one of {', '.join(kinds)}; got {arguments.out!r}.")
    results = [loaded(path, *DRAWN, what=WHAT) for path in arguments.files]
    draw(figure, results, labels, exact, window=arguments.window, level=arguments.level)
    with replacing(arguments.out) as file:
        try:
            figure.savefig(file, format=kind, dpi=arguments.dpi)
        except (ValueError, RuntimeError, MemoryError) as error:  # a formula in a label, LaTeX that is not there
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise CommandError(f"{arguments.out} must be a picture that can be drawn: {reason[0]}") from error
    print_json(arguments, files=arguments.files, out=arguments.out)
    if not arguments.json:
        print(arguments.out)
    return FINE


def compare_files(arguments: argparse.Namespace) -> int:
    """Print how far an estimate is from a reference."""
    estimate = loaded(arguments.estimate, Density, Moments, what="a density or moments")
    exact = loaded(arguments.reference, Density, what="a density, usually exact eigenvalues")
    sizes = [getattr(result, "size", None) for result in (estimate, exact)]
    if None not in sizes and sizes[0] != sizes[1]:
        tell(f"warning: {arguments.estimate} has {sizes[0]:,} eigenvalues, {arguments.reference} {sizes[1]:,}.")
    names = tuple(Path(path).stem for path in (arguments.estimate, arguments.reference))
    labels = None if isinstance(exact, Spectrum) else (names[0], names[1])
    comparison = compare(estimate, exact, num_moments=arguments.num_moments, window=arguments.window, labels=labels)
    print_json(arguments, estimate=arguments.estimate, exact=arguments.reference, comparison=comparison.numbers())
    if not arguments.json:
        print(comparison)
    return FINE


def validate(arguments: argparse.Namespace) -> int:
    """Check accuracy on this machine, and measure speed."""
    device = checked_device(arguments.device or "cpu")
    outcomes = []
    with progress_bar(len(self_test.CHECKS), "check", shown=arguments.progress) as bar:
        for check in self_test.CHECKS:
            bar.set_postfix_str(check.__name__.replace("_", " "))
            for outcome in self_test.run_check(check, device):
                outcomes.append(outcome)
                if not arguments.json:
                    bar.write(str(outcome))
            bar.update()
    passed = all(outcome.passed for outcome in outcomes)
    print_json(arguments, device=str(device), passed=passed, checks=[outcome.to_dict() for outcome in outcomes])
    if passed and not arguments.json:
        print(f"All {sum(outcome.limit is not None for outcome in outcomes)} checks passed.")
    if not passed:
        tell("a check failed: results on this machine and device are not to be trusted.")
    return FINE if passed else FAILED


def _given(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Return those of some options that were set, and whether progress is shown."""
    values = {name: getattr(arguments, name) for name in names}
    options = {name: value for name, value in values.items() if value is not None and value is not False}
    return {**options, "progress": arguments.progress}


def _options(arguments: argparse.Namespace, kinds: dict[str, tuple[str, ...]], choice: str) -> dict[str, Any]:
    """Return the options that were set of the kind chosen by ``--choice``; UsageError for those of other kinds."""
    chosen = getattr(arguments, choice)
    options = _given(arguments, sorted(set().union(*kinds.values())))
    foreign = [name for name in options if name != "progress" and name not in kinds[chosen]]
    if foreign:
        name = foreign[0]
        takers = [kind for kind, names in kinds.items() if name in names]
        option = OPTIONS.get(name, f"--{name.replace('_', '-')}")
        raise UsageError(f"{option} is for --{choice} {' or '.join(takers)}; got --{choice} {chosen}.")
    return options
