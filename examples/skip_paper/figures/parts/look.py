"""How all figures are saved: as pixels for pages and as a vector file, with one size of text."""

import textwrap
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

BLACK, BLUE, RED, CYAN, MAGENTA, GREEN, YELLOW = "0.1", "#1f5fd0", "#d02020", "#00a5b5", "#c030c0", "#2a9d2a", "#d8a000"
# The paper's colours: plain black, residual blue, hyper-residual red.
COLOURS = {"plain": BLACK, "residual": BLUE, "hyper-residual": RED}
PIXELS_PER_INCH = 160
CAPTION_CHARACTERS = 17  # per inch of width


def save(figure: Figure, path: Path, caption: str = "") -> None:
    """Write the figure to ``path`` and, under the same name, to a PDF file, whose lines and text are no pixels."""
    if caption:
        lines = textwrap.wrap(caption, int(figure.get_figwidth() * CAPTION_CHARACTERS))
        figure.supxlabel("\n".join(lines), fontsize=8)
    with mpl.rc_context({"pdf.fonttype": 42}):
        figure.savefig(path, dpi=PIXELS_PER_INCH)
        # Without the date, equal figures are equal files.
        figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
    plt.close(figure)
