"""Writes outputs and pictures of pages anew: python scripts/renew_pages.py README.md docs/guide/tutorial.md.

All Python blocks of a page run in one namespace. What one prints goes to the ``text`` block that follows it. A picture
``NAME.png`` that a block has saved goes to ``docs/figures/PAGE_NAME.png``, if the page shows it.
"""

import contextlib
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
BLOCK = re.compile(r"(```python\n(.*?)```)(\s*\n```text\n)?((?<=```text\n).*?```)?", re.DOTALL)


def renew(page: Path) -> None:
    """Run the blocks of a page and keep what they print and draw."""
    namespace: dict[str, Any] = {}

    def block(match: re.Match[str]) -> str:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(match[2], str(page), "exec"), namespace)
        return match[1] + (f"{match[3]}{output.getvalue()}```" if match[3] else "")

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        text = BLOCK.sub(block, page.read_text())
        for picture in Path(folder).glob("*.png"):
            name = f"{page.stem}_{picture.name}"
            if name in text:
                # A palette is enough for lines and text, and half of the bytes. One of 64 made faint blue grey.
                Image.open(picture).convert("RGB").quantize(256).save(FIGURES / name, optimize=True)
    page.write_text(text)


def main() -> None:
    """Renew the pages that are named."""
    mpl.use("Agg")
    for name in sys.argv[1:]:
        renew((ROOT / name).resolve())


if __name__ == "__main__":
    main()
