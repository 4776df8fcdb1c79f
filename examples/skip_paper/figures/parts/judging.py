"""From a setting's series to the verdicts of a figure."""

import math
from collections.abc import Mapping, Sequence

from skip_paper.measures.series import Series
from skip_paper.runs.setting import Setting
from skip_paper.verdicts.decisions import Verdict
from skip_paper.verdicts.evidence import Evidence
from skip_paper.verdicts.judge import judge, parameters
from skip_paper.verdicts.quantities import Scene


def scene_of(setting: Setting, data: str = "cifar100", condition: str = "") -> Scene:
    """Return what the runs of a setting on a data set have in common; ``condition`` in words, else the setting's."""
    size, images = setting.size, setting.load(data)
    inputs = size.num_components or math.prod(images.shape)
    count = parameters(size.depth, size.width, inputs, images.num_classes)
    return Scene(condition or setting.name, images.num_classes, count)


def verdicts_of(
    figure: str, group: Sequence[Series], scene: Scene, *, also: Mapping[str, Series] | None = None,
    computed: Mapping[str, Evidence] | None = None,
) -> list[Verdict]:  # fmt: skip
    """Return the verdicts of a figure from series, some of which have a second name in the list of claims: ``also``."""
    return judge(figure, {**{series.label: series for series in group}, **(also or {})}, scene, computed)
