"""Figure S7: figure 4 on other images."""

from pathlib import Path

from skip_paper.figures.parts import best_and_worst
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "Best against worst networks on other images"


def runs(setting: Setting) -> list[RunSpec]:
    """Return all runs; where one data set stands in for others, once."""
    return [spec for name in setting.distinct(setting.size.data) for spec in best_and_worst.runs(setting, name)]


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {
        f"{s.name}, {s.load(name).title}": best_and_worst.series(s, name)
        for s in settings
        for name in s.distinct(s.size.data)
    }
    caption = caption_of(settings)
    best_and_worst.draw(groups, caption, path)
    verdicts = {name: best_and_worst.judge(group) for name, group in groups.items()}
    return outcome(groups, verdicts, best_and_worst.QUANTITIES, caption)
