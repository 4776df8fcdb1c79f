"""Figure S2: the best against the worst of many small plain networks, with exact spectra."""

from pathlib import Path

from skip_paper.figures.parts import best_and_worst
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "Best against worst of many small networks"
WORDS = (
    "The best and the worst of many small plain networks by mean training accuracy. (a, b) Accuracy, (c) negative "
    "and (d) degenerate eigenvalues, (e) norm and (f) overlap of incoming weights. The paper: the best are less "
    "degenerate, with more negative eigenvalues, less overlap and, at first, larger norms. Verdicts are rank "
    "correlations over all runs."
)
PANELS = ("train_accuracy", "test_accuracy", "negative", "degenerate", "weight_norm", "overlap")


def runs(setting: Setting) -> list[RunSpec]:
    """Return all runs."""
    return best_and_worst.runs(setting, "cifar100")


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.name: best_and_worst.series(s, "cifar100") for s in settings}
    caption = caption_of(settings, WORDS)
    best_and_worst.draw({s.words: (s, "cifar100") for s in settings}, caption, path, PANELS)
    verdicts = {s.name: best_and_worst.judge("figS2", s, "cifar100", s.name) for s in settings}
    return outcome(groups, verdicts, best_and_worst.QUANTITIES, caption)
