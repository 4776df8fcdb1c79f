"""Figure S7: figure 4 on other images."""

from pathlib import Path

from skip_paper.figures.parts import best_and_worst
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "Best against worst networks on other images"
WORDS = (
    "Figure 4 on other images: (a) training accuracy, (b) degenerate eigenvalues, (c) norm and (d) overlap of "
    "incoming weights, (e) variance explained by the top three modes. The paper, on SVHN and STL-10: as in figure "
    "4. Verdicts are rank correlations over all runs."
)


def runs(setting: Setting) -> list[RunSpec]:
    """Return all runs; where one data set stands in for others, once."""
    return [spec for name in setting.distinct(setting.size.data) for spec in best_and_worst.runs(setting, name)]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    rows = {f"{s.name}, {s.load(data).title}": (s, data) for s in settings for data in s.distinct(s.size.data)}
    groups = {name: best_and_worst.series(*row) for name, row in rows.items()}
    caption = caption_of(settings, WORDS)
    best_and_worst.draw(rows, caption, path, tick=99.999)
    verdicts = {name: best_and_worst.judge("figS7", *row, name) for name, row in rows.items()}
    return outcome(groups, verdicts, best_and_worst.QUANTITIES, caption)
