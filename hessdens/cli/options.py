"""The options of each command, and what its ``--help`` says."""

import argparse
import textwrap
from typing import Any, get_args

from hessdens._checks import LEVEL, PAPER_WINDOW
from hessdens._version import __version__
from hessdens.cli import commands
from hessdens.linalg.probes import Distribution

STATUS = """\
Exit status: 0 done; 1 the work failed, or a check did; 2 the command line is wrong, and nothing was tried;
130 interrupted. Results go to standard output; progress, warnings and errors to standard error."""
FACTORY = """\
FACTORY is a function of yours without arguments, package.module:function (looked for in the current folder
first) or path/to/file.py:function. It returns (model, loss_fn, data), as hessian_operator takes them; or
(model, loss_fn, data, {keyword arguments}), such as {"forward": forward}; or an operator or symmetric matrix."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    main = _Parser(
        prog="hessdens",
        description="Spectral density of the Hessian of a neural network, with error bars.",
        epilog=f"`hessdens COMMAND --help` tells more.\n\n{STATUS}",
    )
    main.add_argument("--version", action="version", version=f"hessdens {__version__}")
    subparsers = main.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_density, _moments, _show, _plot, _compare, _validate):
        add(subparsers)
    return main


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others are, and whose help keeps its line breaks."""

    def __init__(self, **settings: Any) -> None:
        # Abbreviated options would change their meaning when an option is added.
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> Any:
        self.exit(2, f"hessdens: {message}. See {self.prog} --help.\n")


def _density(subparsers: Any) -> None:
    command = _command(
        subparsers,
        "density",
        commands.density,
        "estimate a spectral density",
        "Estimate the spectral density of the Hessian that FACTORY makes, and print it.",
        "  hessdens density train:problem --products 100 --out density.npz\n"
        "  hessdens density train.py:problem --curvature ggn --device cuda --checkpoint work --out ggn.npz\n"
        "  hessdens density train:problem --method exact --out exact.npz      (small networks)",
    )
    _add_problem(command)
    estimate = command.add_argument_group("estimate")
    estimate.add_argument(
        "--method",
        choices=list(commands.DENSITIES),
        default="lanczos",
        help="lanczos (default): outliers one by one, quadrature for the rest, with intervals; kernel-polynomial or "
        "maximum-entropy: from Chebyshev moments; mixture: the fit of Orhan & Pitkow (2018); exact: all eigenvalues",
    )
    _add_sampling(estimate)
    estimate.add_argument("--steps", dest="num_steps", type=int, metavar="S", help="Lanczos steps (lanczos)")
    estimate.add_argument(
        "--low-memory", action="store_true", help="keep three vectors a probe in place of S (lanczos)"
    )
    estimate.add_argument(
        "--moments", dest="num_moments", type=int, metavar="K", help="Chebyshev moments (kernel-polynomial, ...)"
    )
    _add_rtol(estimate, "(mixture)")
    estimate.add_argument("--max-size", type=int, metavar="N", help="largest matrix accepted, 20,000 (exact)")
    _add_output(command, "density.npz")


def _moments(subparsers: Any) -> None:
    command = _command(
        subparsers,
        "moments",
        commands.moments,
        "estimate moments of the density",
        "Estimate the first moments of the spectral density of the Hessian that FACTORY makes, with standard errors.",
        "  hessdens moments train:problem --products 50 --out moments.npz\n"
        "  hessdens moments train:problem --rtol 0.01 --json",
    )
    _add_problem(command)
    estimate = command.add_argument_group("estimate")
    estimate.add_argument(
        "--method",
        choices=["deflated", "skilling"],
        default="deflated",
        help="deflated (default): the dominant eigenspace exactly, probes beside it; skilling: probes alone",
    )
    _add_sampling(estimate)
    estimate.add_argument("--moments", dest="num_moments", type=int, metavar="K", help="how many; default 4")
    _add_rtol(estimate, "")
    _add_output(command, "moments.npz")


def _show(subparsers: Any) -> None:
    command = _command(
        subparsers,
        "show",
        commands.show,
        "print what is in result files",
        "Print results from files of any kind that hessdens writes.",
        "  hessdens show density.npz\n  hessdens show --json density.npz moments.npz",
    )
    command.add_argument("files", nargs="+", metavar="FILE", help="result files, .npz")
    _add_window(command)
    _add_level(command)
    _add_json(command)


def _plot(subparsers: Any) -> None:
    command = _command(
        subparsers,
        "plot",
        commands.plot,
        "draw densities, or the history of a training run, from files",
        "Draw densities from files on one pair of axes, both logarithmic, so that the bulk around 0 and single "
        "outliers show. A history, from a SpectrumMonitor, is drawn over the training steps.",
        "  hessdens plot density.npz --out density.png\n"
        "  hessdens plot history.npz --out history.png\n"
        "  hessdens plot before.npz after.npz --labels before after --exact exact.npz --out both.pdf",
    )
    command.add_argument("files", nargs="+", metavar="FILE", help="result files with a density, or one history, .npz")
    command.add_argument("--exact", metavar="FILE", help="a file with exact eigenvalues, drawn behind")
    command.add_argument("--labels", nargs="+", metavar="TEXT", help="one a file; default: the files' names")
    _add_window(command)
    _add_level(command)
    command.add_argument("--dpi", type=int, default=150, metavar="N", help="dots an inch; default 150")
    command.add_argument("--out", required=True, metavar="PICTURE", help="what to write: .png, .pdf, .svg, ...")
    command.add_argument("--force", action="store_true", help="replace PICTURE")
    _add_json(command)


def _compare(subparsers: Any) -> None:
    command = _command(
        subparsers,
        "compare",
        commands.compare_files,
        "tell how far an estimate is from a reference",
        "Print moments, fractions and distances of an estimate beside those of a reference.",
        "  hessdens compare density.npz exact.npz",
    )
    command.add_argument("estimate", metavar="ESTIMATE", help="a result file, .npz: a density, a fit, or moments")
    command.add_argument("exact", metavar="REFERENCE", help="a result file with a density, usually exact eigenvalues")
    command.add_argument("--moments", dest="num_moments", type=int, default=4, metavar="K", help="how many; default 4")
    _add_window(command)
    _add_json(command)


def _validate(subparsers: Any) -> None:
    command = _command(
        subparsers,
        "validate",
        commands.validate,
        "check accuracy and speed on this machine",
        "Check products, moments, densities, fits and files against closed forms and exact eigenvalues, and measure "
        "the speed, on this machine and device. Takes less than a minute.",
        "  hessdens validate --device cuda",
    )
    command.add_argument("--device", metavar="DEVICE", help="cpu (default), cuda, cuda:1, ...")
    _add_json(command)
    _add_quiet(command)


def _command(subparsers: Any, name: str, run: Any, title: str, description: str, examples: str) -> Any:
    factory = f"{FACTORY}\n\n" if name in ("density", "moments") else ""
    description = textwrap.fill(description, width=100)
    command = subparsers.add_parser(
        name, help=title, description=description, epilog=f"{factory}Examples:\n{examples}\n\n{STATUS}"
    )
    command.set_defaults(run=run, found=[], quiet=False, checkpoint=None)
    return command


def _add_problem(command: Any) -> None:
    command.add_argument("factory", metavar="FACTORY", help="what makes the model, its loss and data; see below")
    problem = command.add_argument_group("problem")
    problem.add_argument("--curvature", choices=["hessian", "ggn", "fisher"], help="which matrix; default hessian")
    problem.add_argument(
        "--parameters", nargs="+", metavar="GLOB", help="names of parameters, such as 'layers.*.weight'; default all"
    )
    problem.add_argument("--device", metavar="DEVICE", help="move model and data there: cpu, cuda, cuda:1, ...")
    problem.add_argument("--dtype", choices=["float32", "float64"], help="convert model and data")


def _add_sampling(group: Any) -> None:
    group.add_argument("--products", dest="max_products", type=int, metavar="N", help="products that may be spent")
    group.add_argument("--probes", dest="num_probes", type=int, metavar="P", help="random vectors")
    group.add_argument("--seed", type=int, metavar="I", help="of the probes; default 0")
    group.add_argument("--distribution", choices=list(get_args(Distribution)), help="of a probe's entries")
    group.add_argument(
        "--checkpoint", metavar="FOLDER", help="keep finished work there; the same command goes on after a kill"
    )


def _add_rtol(group: Any, methods: str) -> None:
    text = "spend what makes standard errors this share of the moments of absolute eigenvalues"
    group.add_argument("--rtol", type=float, metavar="X", help=f"{text} {methods}".rstrip())


def _add_output(command: Any, name: str) -> None:
    output = command.add_argument_group("output")
    output.add_argument("--out", metavar="FILE", help=f"write the result there, for example {name}")
    output.add_argument("--force", action="store_true", help="replace FILE")
    _add_json(output)
    _add_quiet(output)


def _add_window(command: Any) -> None:
    command.add_argument(
        "--window",
        type=float,
        default=PAPER_WINDOW,
        metavar="W",
        help=f"size of the window around 0; default {PAPER_WINDOW:g}",
    )


def _add_level(command: Any) -> None:
    command.add_argument(
        "--level", type=float, default=LEVEL, metavar="P", help=f"level of intervals; default {LEVEL:g}"
    )


def _add_json(command: Any) -> None:
    command.add_argument("--json", action="store_true", help="print JSON in place of text")


def _add_quiet(command: Any) -> None:
    command.add_argument("--quiet", action="store_true", help="show no progress, even on a terminal")
