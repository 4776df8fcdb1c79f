"""Writes README's picture and printed output anew: python scripts/front_page.py."""

import contextlib
import io
import re
import tempfile
from pathlib import Path

import matplotlib as mpl
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = re.compile(r"(```python\n(.*?)```\n\n```text\n)(.*?)```", re.DOTALL)
PICTURE = ROOT / "docs" / "figures" / "readme.png"


def main() -> None:
    """Run the example, and keep what it prints and draws."""
    mpl.use("Agg")
    readme = ROOT / "README.md"
    text = readme.read_text()
    match = EXAMPLE.search(text)
    assert match is not None, "README.md has no example with its output"
    output = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        with contextlib.redirect_stdout(output):
            exec(compile(match[2], str(readme), "exec"), {})
        # A palette is enough for lines and text, and a third of the bytes.
        Image.open("density.png").convert("RGB").quantize(64).save(PICTURE, optimize=True)
    readme.write_text(text[: match.start()] + match[1] + output.getvalue() + "```" + text[match.end() :])


if __name__ == "__main__":
    main()
