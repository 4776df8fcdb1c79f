"""The command ``hessdens``: arguments in, exit status out."""

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from hessdens.cli.errors import FAILED, INTERRUPTED, report, tell, with_options
from hessdens.cli.options import parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, ``sys.argv[1:]`` by default, and return its exit status: 0, 1, 2 or 130.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from hessdens import Spectrum
    >>> with TemporaryDirectory() as folder:
    ...     Spectrum([-1.0, 0.0, 0.0, 3.0]).save(f"{folder}/exact.npz")
    ...     status = main(["show", f"{folder}/exact.npz"])
    Spectrum of 4 eigenvalues from -1 to 3
      degenerate: 50.00%, 2 of 4
    ...
    >>> status
    0
    """
    try:
        options = parser().parse_args(arguments)
    except SystemExit as exit_:  # --help, --version, or a wrong command line
        return int(exit_.code or 0)
    options.progress = not options.quiet and sys.stderr.isatty()
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            status: int = options.run(options)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader has gone, as `head` does; what Python still holds for it must not raise again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except KeyboardInterrupt:
            rest = "Nothing was written."
            if options.checkpoint is not None:
                rest = f"Finished work is in {options.checkpoint}: the same command goes on from there."
            tell(f"interrupted. {rest}")
            return INTERRUPTED
        except BaseException as error:  # code of a user may also exit, or raise what is no Exception
            return report(error)
    return status


def _warn(message: Any, *_: Any, **__: Any) -> None:
    tell(f"warning: {with_options(str(message))}")
