"""Plain against residual networks of one size: figures S1 and S6."""

from skip_paper.figures.parts import panels
from skip_paper.measures.series import Series
from skip_paper.networks.skip_network import Architecture
from skip_paper.runs.setting import Setting
from skip_paper.runs.specification import RunSpec

COLOURS: dict[Architecture, str] = {"plain": panels.BLACK, "residual": panels.BLUE}


def runs(setting: Setting) -> list[RunSpec]:
    """Return the runs of both."""
    return [spec for architecture in COLOURS for spec in setting.specs(setting.network(architecture))]


def series(setting: Setting) -> list[Series]:
    """Return the finished runs of both."""
    return [setting.series(a, colour, setting.specs(setting.network(a))) for a, colour in COLOURS.items()]
