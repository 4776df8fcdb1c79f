"""Takes a results folder of the reproduction into the docs: python docs/take_results.py results.

Copies each experiment's numbers, its figure at a width for a page, in all its colours, and its vector file.
"""

import json
import shutil
import sys
from pathlib import Path

from PIL import Image

FIGURES = Path(__file__).resolve().parent / "figures"
WIDTH = 1400


def main() -> None:
    """Copy what the folder of the first argument holds."""
    folder = Path(sys.argv[1])
    for path in sorted(folder.glob("*.json")):
        (FIGURES / path.name).write_text(json.dumps(_rounded(json.loads(path.read_text())), indent=1) + "\n")
        picture = folder / f"{path.stem}.png"
        if picture.exists():
            _copy(picture)


def _copy(path: Path) -> None:
    picture = Image.open(path).convert("RGB")
    size = (WIDTH, round(picture.height * WIDTH / picture.width)) if picture.width > WIDTH else picture.size
    picture.resize(size, Image.Resampling.LANCZOS).save(FIGURES / path.name, optimize=True)
    if path.with_suffix(".pdf").exists():
        shutil.copyfile(path.with_suffix(".pdf"), FIGURES / f"{path.stem}.pdf")


def _rounded(content: object) -> object:
    """Return JSON with numbers of six digits: what a page shows, at a fraction of the bytes."""
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_rounded(value) for value in content]
    return float(f"{content:.6g}") if isinstance(content, float) else content


if __name__ == "__main__":
    main()
