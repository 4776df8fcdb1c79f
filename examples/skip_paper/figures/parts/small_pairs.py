"""Plain against residual networks of one size: figures S1 and S6."""

from skip_paper.figures.parts import panels
from skip_paper.measures.series import Series
from skip_paper.networks.skip_network import Architecture
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

COLOURS: dict[Architecture, str] = {"plain": panels.BLACK, "residual": panels.BLUE}


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs of both."""
    return [spec for architecture in COLOURS for spec in setting.specs(setting.network(architecture))]


def series(setting: Setting) -> list[Series]:
    """Return the finished runs of both."""
    return [setting.series(a, colour, setting.specs(setting.network(a))) for a, colour in COLOURS.items()]


def judge(group: list[Series], more: tuple[tuple[str, bool, str], ...] = ()) -> list[Verdict]:
    """Return the verdicts: means of each run over the epochs after the start.

    ``more``: further quantities, whether the residual network has more of it, and the unit.
    """
    plain, residual = group
    points = "percentage points"
    rules = (
        ("train_accuracy", True, points), ("test_accuracy", True, points), ("degenerate", False, points),
        ("negative", True, points), *more,
    )  # fmt: skip
    verdicts = []
    for name, residual_has_more, unit in rules:
        factor = 100 if unit == points else 1
        pair = (residual, plain) if residual_has_more else (plain, residual)
        words = name.replace("_", " ") + (" eigenvalues" if name in ("degenerate", "negative") else "")
        verdicts.append(
            claims.difference(
                f"Residual network: {'more' if residual_has_more else 'less'} {words}",
                *(factor * s.of_runs(name) for s in pair), f"{unit}, mean over epochs",
            )
        )  # fmt: skip
    return verdicts
