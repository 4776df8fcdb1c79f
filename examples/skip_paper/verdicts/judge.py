"""The verdicts of one figure, from its runs and the list of claims."""

from collections.abc import Mapping

from skip_paper.verdicts.decisions import Verdict, decide
from skip_paper.verdicts.evidence import SEQUENTIAL, Evidence
from skip_paper.verdicts.quantities import Group, Scene
from skip_paper.verdicts.rules import Computed
from skip_paper.verdicts.table import PLANS, of_figure


def judge(figure: str, group: Group, scene: Scene, computed: Mapping[str, Evidence] | None = None) -> list[Verdict]:
    """Return the verdicts on the claims of a figure, in the order of the list.

    Parameters
    ----------
    figure
        Its name, as "fig3".
    group
        Series of measurements by the kind of network. Rules name kinds; one that is not there leaves its claims
        undecided.
    scene
        Condition, classes and parameters.
    computed
        Evidence that the figure computes itself, by claim.
    """
    claims, computed = of_figure(figure), computed or {}
    if unknown := set(computed) - set(claims):
        raise ValueError(
            f"Evidence must be on claims of {figure}; got {sorted(unknown)}. They stand in verdicts/table."
        )
    plan = PLANS.get(figure, SEQUENTIAL)
    evidence = {
        key: computed[key] if key in computed else claim.rule.evidence(group, scene, claim.margin, plan)
        for key, claim in claims.items()
        if key in computed or group or isinstance(claim.rule, Computed)
    }
    return decide(evidence, claims, scene.condition)


def parameters(depth: int, width: int, inputs: int, classes: int) -> int:
    """Return the number of parameters of a network with ``depth`` hidden layers.

    Examples
    --------
    >>> parameters(20, 128, 3072, 20), parameters(10, 16, 128, 20)
    (709652, 4852)
    """
    return (inputs + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * classes
