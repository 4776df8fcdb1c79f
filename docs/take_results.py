"""Takes a results folder of the reproduction into the docs: python docs/take_results.py results.

Copies each experiment's numbers, and its figure at a size for a page.
"""

import json
import sys
from pathlib import Path

from PIL import Image

FIGURES = Path(__file__).resolve().parent / "figures"
WIDTH = 1400


def main() -> None:
    """Copy what the folder of the first argument holds."""
    folder = Path(sys.argv[1])
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        picture = Image.open(folder / f"{path.stem}.png").convert("RGB")
        size = (WIDTH, round(picture.height * WIDTH / picture.width)) if picture.width > WIDTH else picture.size
        # A palette is enough for lines and text, and a third of the bytes.
        picture.resize(size, Image.Resampling.LANCZOS).quantize(64).save(FIGURES / f"{path.stem}.png", optimize=True)
        (FIGURES / path.name).write_text(json.dumps(_rounded(content), indent=1) + "\n")


def _rounded(content: object) -> object:
    """Return JSON with numbers of six digits: what a page shows, at a fraction of the bytes."""
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_rounded(value) for value in content]
    return float(f"{content:.6g}") if isinstance(content, float) else content


if __name__ == "__main__":
    main()
