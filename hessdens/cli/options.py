"""The options of each command, and what its ``--help`` says."""

import argparse
import difflib
import re
import textwrap
from typing import Any, get_args

from hessdens._checks import LEVEL, PAPER_WINDOW
from hessdens._version import __version__
from hessdens.cli import commands
from hessdens.cli.errors import OPTIONS, USAGE
from hessdens.cli.values import path, real, which, whole, window
from hessdens.estimators.counts import CERTIFIED_LEVEL
from hessdens.estimators.run import MOST_MOMENTS
from hessdens.linalg.probes import Distribution

STATUS = """\
Exit status: 0 done; 1 the work failed, or a check did; 2 the command line is wrong, and nothing was tried;
130 interrupted. Results go to standard output; progress, warnings and errors to standard error."""
FACTORY = """\
FACTORY is a function of yours without arguments, package.module:function (looked for in the current folder
first) or path/to/file.py:function. It returns (model, loss_fn, data), as hessian_operator takes them; or
(model, loss_fn, data, {keyword arguments}), such as {"forward": forward}; or an operator or symmetric matrix."""

RTOL = "stop when 95%% intervals of the moments are within this part of those of absolute eigenvalues"
WHICH = "largest (default), smallest, both, magnitude, or a number: those nearest to it"
GLOBS = "names of parameters, such as 'layers.*.weight'; default all"
WINDOW = (
    "full width of the window around 0, or 1%% of the largest absolute eigenvalue; default that of the result, or "
    f"{PAPER_WINDOW:g}"
)
LEVELS = real("between 0 and 1", lambda x: 0 < x < 1)
# By the option, the argument of the library that it sets, where the names differ.
ARGUMENTS = {option: argument for argument, option in OPTIONS.items()}
# What the commands that take an option have in common.
SETTINGS: dict[str, dict[str, Any]] = {
    "--curvature": {"choices": ["hessian", "ggn", "fisher"], "help": "which matrix; default hessian"},
    "--parameters": {"nargs": "+", "metavar": "GLOB", "help": GLOBS},
    "--device": {"metavar": "DEVICE"},
    "--dtype": {"choices": ["float32", "float64"], "help": "convert model and data"},
    "--products": {"type": whole(1), "metavar": "N", "help": "products that may be spent"},
    "--probes": {"type": whole(2), "metavar": "P", "help": "random vectors, at least 2"},
    "--seed": {"type": whole(0, 2**63 - 1), "metavar": "I", "help": "of the probes; default 0"},
    "--distribution": {"choices": list(get_args(Distribution)), "help": "of a probe's entries"},
    "--checkpoint": {
        "type": path,
        "metavar": "FOLDER",
        "help": "keep finished work there; the same command goes on after a kill",
    },
    "--steps": {"type": whole(2), "metavar": "S", "help": "Lanczos steps (lanczos), at least 2"},
    "--low-memory": {"action": "store_true", "help": "keep three vectors per probe instead of S (lanczos)"},
    "--moments": {"type": whole(1, MOST_MOMENTS), "metavar": "K", "help": "how many; default 4"},
    "--layers": {"action": "store_true", "help": "moments of each layer; with --out FILE.npz, in files FILE.LAYER.npz"},
    "--rtol": {"type": LEVELS, "metavar": "X", "help": RTOL},
    "--atol": {"type": LEVELS, "metavar": "X", "help": "the same, absolute (lanczos)"},
    "--which": {"type": which, "metavar": "END", "help": WHICH},
    "--block": {"type": whole(1), "metavar": "B", "help": "vectors in a product; default 2, or 1 for one pair"},
    "--vectors": {"type": whole(3), "metavar": "M", "help": "vectors in memory; default 20 + 20 B, or 3 K if more"},
    "--heads": {"type": whole(1), "metavar": "N", "help": "parts are attention heads, N per layer (traces, blocks)"},
    "--key-value-heads": {"type": whole(1), "metavar": "N", "help": "those of keys and values, where heads share them"},
    "--max-rows": {
        "type": whole(1),
        "metavar": "N",
        "help": "most rows of the Gram matrix, 10,000 (gauss-newton, classes)",
    },
    "--gradient": {"action": "store_true", "help": "print the gradient too, and its standard error over examples"},
    "--max-size": {"type": whole(1), "metavar": "N", "help": "largest matrix accepted, 20,000 (exact)"},
    "--exact": {"type": path, "metavar": "FILE", "help": "a file with exact eigenvalues, drawn behind"},
    "--labels": {"nargs": "+", "metavar": "TEXT", "help": "one per file; default: the files' names"},
    "--window": {"type": window, "metavar": "W", "help": WINDOW},
    "--level": {"type": LEVELS, "default": LEVEL, "metavar": "P", "help": f"level of intervals; default {LEVEL:g}"},
    "--dpi": {"type": whole(20, 1_200), "default": 150, "metavar": "N", "help": "dots per inch; default 150"},
    "--force": {"action": "store_true"},
    "--json": {"action": "store_true", "help": "print JSON instead of text"},
    "--quiet": {"action": "store_true", "help": "show no progress, even on a terminal"},
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    main = _Parser(
        prog="hessdens",
        description="Spectral density of the Hessian of a neural network, with error bars.",
        epilog=f"`hessdens COMMAND --help` tells more.\n\n{STATUS}",
    )
    main.add_argument("--version", action="version", version=f"hessdens {__version__}")
    subparsers = main.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_density, _moments, _eigenvectors, _structure, _certify, _show, _plot, _compare, _report, _validate):
        add(subparsers)
    return main


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others are, and whose help keeps its line breaks."""

    def __init__(self, **settings: Any) -> None:
        # Abbreviated options would change their meaning when an option is added.
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Return what is known, after an error of this command, not of the main one, about what is not."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            wrong = next((word for word in unknown if word.startswith("-")), unknown[0])
            argument = OPTIONS.get(wrong.lstrip("-").replace("-", "_"))
            near = [argument] if argument else difflib.get_close_matches(wrong, self._option_string_actions, n=1)
            self.error(f"unrecognized arguments: {' '.join(unknown)}" + (f". Did you mean {near[0]}?" if near else ""))
        return known, unknown

    def error(self, message: str) -> Any:
        rule = " ".join(re.sub("^argument ([^:]+): must", r"\1 must", message).split())
        self.exit(USAGE, f"hessdens: {rule.rstrip('.')}{'' if rule.endswith('?') else '.'} See {self.prog} --help.\n")


def _density(subparsers: Any) -> None:
    text = """\
        estimate a spectral density
        Estimate the spectral density of the Hessian that FACTORY makes, and print it.
          hessdens density train:problem --products 100 --out density.npz
          hessdens density train.py:problem --curvature ggn --device cuda --checkpoint work --out ggn.npz
          hessdens density train:problem --method exact --out exact.npz      (small networks)"""
    methods = (
        "lanczos (default): outliers one by one, quadrature for the rest, with intervals; kernel-polynomial or "
        "maximum-entropy: from Chebyshev moments; mixture: the fit of Orhan & Pitkow (2018); exact: all eigenvalues"
    )
    command = _command(subparsers, "density", commands.density, text)
    estimate = _add_estimate(command, list(commands.DENSITIES), methods)
    _add(estimate, "--steps", "--low-memory")
    _add(estimate, "--moments", help="Chebyshev moments (kernel-polynomial, ...)")
    _add(
        estimate,
        "--rtol",
        help="stop at this relative accuracy of the fraction outside of the window (lanczos, mixture)",
    )
    _add(estimate, "--atol")
    _add(estimate, "--max-size", "--gradient")
    _add(estimate, "--window", "--level")
    _add_output(command, "density.npz")


def _moments(subparsers: Any) -> None:
    text = """\
        estimate moments of the density
        Estimate the first moments of the spectral density of the Hessian that FACTORY makes, with standard errors.
          hessdens moments train:problem --products 50 --out moments.npz
          hessdens moments train:problem --rtol 0.01 --json
          hessdens moments train:problem --layers --moments 1 --probes 32"""
    methods = "deflated (default): the dominant eigenspace exactly, probes for the rest; skilling: probes alone"
    command = _command(subparsers, "moments", commands.moments, text)
    _add(_add_estimate(command, ["deflated", "skilling"], methods), "--moments", "--rtol", "--layers")
    _add_output(command, "moments.npz")


def _eigenvectors(subparsers: Any) -> None:
    text = """\
        find eigenvalues with their eigenvectors
        Find some eigenvalues of the Hessian that FACTORY makes and their eigenvectors, with bounds of their errors.
          hessdens eigenvectors train:problem -k 10 --out pairs.npz
          hessdens eigenvectors train:problem -k 4 --which both --rtol 1e-6 --products 400"""
    command = _command(subparsers, "eigenvectors", commands.eigenvectors, text)
    pairs = _add_problem(command).add_argument_group("eigenpairs")
    pairs.add_argument("-k", type=whole(1), metavar="K", help="how many; default 10")
    _add(pairs, "--which", "--rtol", "--products", "--block", "--vectors", "--seed", "--checkpoint")
    _add_output(command, "pairs.npz")


def _structure(subparsers: Any) -> None:
    text = """\
        say which layers, blocks and halves carry the curvature
        Print the traces of all layers of the Hessian that FACTORY makes, or what else --what asks for, with errors.
          hessdens structure train:problem --products 64
          hessdens structure train:problem --rtol 0.05
          hessdens structure train:problem --what blocks --probes 8 --out blocks.npz
          hessdens structure train:problem --what blocks --heads 12"""
    what = (
        "traces (default): of each layer, from the same products; diagonal: of each parameter; blocks: norms of all "
        "blocks, and what lies outside of the diagonal ones; halves: H = G + R; gauss-newton: all eigenvalues of G; "
        "classes: how much of its outliers means over classes make"
    )
    command = _command(subparsers, "structure", commands.structure, text)
    estimate = _add_problem(command).add_argument_group("estimate")
    _add(estimate, "--what", choices=list(commands.STRUCTURES), default="traces", help=what)
    _add(estimate, "--products")
    _add(estimate, "--rtol", help="stop when 95%% intervals of all traces are within this part of them (traces)")
    _add(estimate, "--atol", type=real("above 0", lambda x: x > 0), help="the same, absolute; the larger one counts")
    _add(estimate, "--probes", "--seed", "--checkpoint", "--heads", "--key-value-heads", "--max-rows")
    _add_output(command, "blocks.npz")


def _certify(subparsers: Any) -> None:
    text = """\
        bound the numbers of eigenvalues on either side of a window
        Print the fewest and most negative, degenerate and positive eigenvalues of the Hessian that FACTORY makes,
        guaranteed at one level for any symmetric matrix and any number of products.
          hessdens certify train:problem --products 200 --out counts.npz
          hessdens certify train:problem --window 0.02 --level 0.999 --json"""
    command = _command(subparsers, "certify", commands.certify, text)
    counts = _add_problem(command).add_argument_group("counts")
    _add(counts, "--window", "--products", "--seed", "--checkpoint")
    _add(counts, "--level", default=CERTIFIED_LEVEL, help=f"of all bounds together; default {CERTIFIED_LEVEL:g}")
    _add_output(command, "counts.npz")


def _show(subparsers: Any) -> None:
    text = """\
        print what is in result files
        Print results from files of any kind that hessdens writes.
          hessdens show density.npz
          hessdens show --json density.npz moments.npz"""
    command = _command(subparsers, "show", commands.show, text)
    command.add_argument("files", nargs="+", type=path, metavar="FILE", help="result files, .npz")
    _add(command, "--window", "--level", "--json")


def _plot(subparsers: Any) -> None:
    text = """\
        draw densities, or the history of a training run, from files
        Draw densities from files on one pair of axes, both logarithmic, so that the bulk around 0 and
        single outliers show. Histories, from a SpectrumMonitor, are drawn over the training steps. Angles and
        shares of directions share axes with their kind. Eigenpairs, diagonals, norms of blocks, halves of a Hessian and
        class structure have a picture each.
          hessdens plot density.npz --out density.png
          hessdens plot sgd.npz sam.npz --labels SGD SAM --out runs.png
          hessdens plot before.npz after.npz --labels before after --exact exact.npz --out both.pdf"""
    command = _command(subparsers, "plot", commands.plot, text)
    about = "result files with densities, or with histories, .npz"
    command.add_argument("files", nargs="+", type=path, metavar="FILE", help=about)
    _add(command, "--exact", "--labels", "--window", "--level", "--dpi")
    _add(command, "--out", required=True, type=path, metavar="PICTURE", help="what to write: .png, .pdf, .svg, ...")
    _add(command, "--force", help="replace PICTURE")
    _add(command, "--json")


def _report(subparsers: Any) -> None:
    text = """\
        write a page about result files
        Write a page of HTML with pictures, fractions, single eigenvalues and traces from result files. It needs
        no other file and no network.
          hessdens report density.npz --out page.html
          hessdens report density.npz exact.npz layers.*.npz --out page.html"""
    command = _command(subparsers, "report", commands.report, text)
    command.add_argument("files", nargs="+", type=path, metavar="FILE", help="result files, .npz")
    _add(command, "--window", "--level")
    _add(command, "--out", required=True, type=path, metavar="PAGE", help="what to write, for example page.html")
    _add(command, "--force", help="replace PAGE")
    _add(command, "--json")


def _compare(subparsers: Any) -> None:
    text = """\
        tell how far an estimate is from a reference
        Print moments, fractions and distances of an estimate next to those of a reference.
          hessdens compare density.npz exact.npz"""
    command = _command(subparsers, "compare", commands.compare_files, text)
    for name, about in (
        ("estimate", "a result file, .npz: a density, a fit, or moments"),
        ("reference", "a result file with a density, usually exact eigenvalues"),
    ):
        command.add_argument(name, type=path, metavar=name.upper(), help=about)
    _add(command, "--moments", type=whole(1, 1_000), default=4)
    _add(command, "--window", "--json")


def _validate(subparsers: Any) -> None:
    text = """\
        check accuracy and speed on this machine
        Check products, moments, densities, fits and files against closed forms and exact eigenvalues,
        and measure the speed, on this machine and device. Takes less than a minute.
          hessdens validate --device cuda"""
    command = _command(subparsers, "validate", commands.validate, text)
    _add(command, "--device", help="cpu (default), cuda, cuda:1, ...")
    _add(command, "--json", "--quiet")


def _command(subparsers: Any, name: str, run: Any, text: str) -> Any:
    """Add a command, from its title, its description and, indented, examples."""
    title, *lines = textwrap.dedent(text).splitlines()
    description = " ".join(line for line in lines if not line.startswith(" "))
    examples = "\n".join(line for line in lines if line.startswith(" "))
    factory = f"{FACTORY}\n\n" if name in ("density", "moments", "eigenvectors", "structure", "certify") else ""
    epilog = f"{factory}Examples:\n{examples}\n\n{STATUS}"
    command = subparsers.add_parser(name, help=title, description=textwrap.fill(description, width=100), epilog=epilog)
    command.set_defaults(run=run, quiet=False, checkpoint=None)
    return command


def _add(group: Any, *options: str, **settings: Any) -> None:
    """Add options to a command, or to a group of its options; ``settings`` are those that other commands lack."""
    for option in options:
        names = {"dest": ARGUMENTS[option]} if option in ARGUMENTS else {}
        group.add_argument(option, **SETTINGS.get(option, {}) | names | settings)


def _add_problem(command: Any) -> Any:
    """Add what to estimate of, and return the command."""
    command.add_argument(
        "factory", type=path, metavar="FACTORY", help="what makes the model, its loss and data; see below"
    )
    problem = command.add_argument_group("problem")
    _add(problem, "--curvature", "--parameters")
    _add(problem, "--device", help="move model and data there: cpu, cuda, cuda:1, ...")
    _add(problem, "--dtype")
    return command


def _add_estimate(command: Any, methods: list[str], about_methods: str) -> Any:
    """Add what to estimate of, and how; return the group of the latter. The first method is the default."""
    estimate = _add_problem(command).add_argument_group("estimate")
    _add(estimate, "--method", choices=methods, default=methods[0], help=about_methods)
    _add(estimate, "--products", "--probes", "--seed", "--distribution", "--checkpoint")
    return estimate


def _add_output(command: Any, name: str) -> None:
    output = command.add_argument_group("output")
    _add(output, "--out", type=path, metavar="FILE", help=f"write the result there, for example {name}")
    _add(output, "--force", help="replace FILE")
    _add(output, "--json", "--quiet")
