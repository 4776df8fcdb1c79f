"""Figure 4: the best against the worst of many plain networks on CIFAR-100."""

from pathlib import Path

from skip_paper.figures.parts import best_and_worst
from skip_paper.report.outcome import Outcome, caption_of, outcome
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

TITLE = "Training accuracy is related to distance from degenerate manifolds"
WORDS = (
    "The best and the worst of many plain networks by mean training accuracy. (a) Training accuracy, (b) "
    "degenerate eigenvalues, (c) norm and (d) overlap of incoming weights, (e) variance explained by the top "
    "three modes of a layer. The paper: the worst are more degenerate, with smaller norms, more overlap and more "
    "linear dependence. Verdicts are rank correlations over all runs."
)


def runs(setting: Setting) -> list[RunSpec]:
    """Return all runs."""
    return best_and_worst.runs(setting, "cifar100")


def finish(settings: list[Setting], path: Path) -> Outcome:
    """Draw the figure from finished runs, and return what they show."""
    groups = {s.name: best_and_worst.series(s, "cifar100") for s in settings}
    caption = caption_of(settings, WORDS)
    best_and_worst.draw({s.words: (s, "cifar100") for s in settings}, caption, path)
    verdicts = {s.name: best_and_worst.judge("fig4", s, "cifar100", s.name) for s in settings}
    return outcome(groups, verdicts, best_and_worst.QUANTITIES, caption)
