"""The command ``hessdens``."""

from hessdens.cli.main import main

__all__ = ["main"]
