"""Plain against residual networks of one size: figures S1 and S6."""

from collections.abc import Iterator

from skip_paper.figures.parts import panels
from skip_paper.networks.skip_network import Architecture, NetworkSpec
from skip_paper.runs.experiment import Series, Setting
from skip_paper.runs.store import RunSpec
from skip_paper.verdicts import claims
from skip_paper.verdicts.claims import Verdict

COLOURS: dict[Architecture, str] = {"plain": panels.BLACK, "residual": panels.BLUE}


def stages(setting: Setting, *, num_components: int | None) -> Iterator[list[RunSpec]]:
    """Yield the runs of both."""
    yield [s for architecture in COLOURS for s in _specs(setting, architecture, num_components)]


def series(setting: Setting, *, num_components: int | None) -> list[Series]:
    """Return the finished runs of both."""
    return [setting.series(a, colour, _specs(setting, a, num_components)) for a, colour in COLOURS.items()]


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
                *(factor * _of_runs(s, name) for s in pair), f"{unit}, mean over epochs",
            )
        )  # fmt: skip
    return verdicts


def _of_runs(series: Series, name: str):  # type: ignore[no-untyped-def]
    values = series.of_runs(name)
    return values.mean(axis=-1) if values.ndim > 1 else values


def _specs(setting: Setting, architecture: Architecture, num_components: int | None) -> list[RunSpec]:
    size = setting.size
    network = NetworkSpec(architecture, size.depth, size.width, setting.condition.hidden_start)
    return setting.specs(network, exact=num_components is not None, num_components=num_components)
