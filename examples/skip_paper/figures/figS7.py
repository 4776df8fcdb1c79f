"""Figure S7: figure 4 on SVHN and STL-10, or on what stands in for them."""

from collections.abc import Iterator
from pathlib import Path

from skip_paper.figures.parts import best_and_worst
from skip_paper.runs.experiment import Outcome, Setting, caption_of, outcome
from skip_paper.runs.store import RunSpec

TITLE = "Best against worst networks on other images"
DATA = ("svhn", "stl10")


def stages(setting: Setting) -> Iterator[list[RunSpec]]:
    """Yield the runs of each stage; where one data set stands in for both, once."""
    for name in setting.distinct(DATA):
        yield from best_and_worst.stages(setting, name)


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {
        f"{s.condition.name}, {s.load(name).title}": best_and_worst.series(s, name)
        for s in settings
        for name in s.distinct(DATA)
    }
    caption = caption_of(settings[0], DATA)
    best_and_worst.draw(groups, caption, path)
    verdicts = {name: best_and_worst.judge(group) for name, group in groups.items()}
    return outcome(groups, verdicts, best_and_worst.QUANTITIES, caption)
