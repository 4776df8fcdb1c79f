"""``python -m hessdens``, the same as the command ``hessdens``."""

import sys

from hessdens.cli import main

if __name__ == "__main__":
    sys.exit(main())
