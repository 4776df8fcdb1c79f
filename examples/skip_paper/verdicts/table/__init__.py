"""All claims, each once: the paper's sentence, where it stands, and the rule that judges it."""

from collections.abc import Sequence

from skip_paper.verdicts.decisions import Claim
from skip_paper.verdicts.looks import Plan, single_look
from skip_paper.verdicts.table.alternatives import BIASES, GRADIENTS, SKIPS, TARGETS
from skip_paper.verdicts.table.degeneracy import ARCHITECTURES, PREDICTORS
from skip_paper.verdicts.table.notes import LINEAR, MIXTURE, SHALLOW, SMALL, TOY

# In the order of the paper's figures.
LISTS: Sequence[tuple[Claim, ...]] = (
    TOY, ARCHITECTURES, PREDICTORS, BIASES, TARGETS, GRADIENTS, SKIPS, SMALL, MIXTURE, LINEAR, SHALLOW,
)  # fmt: skip
CLAIMS: dict[str, Claim] = {claim.key: claim for claims in LISTS for claim in claims}
# Experiments of a size that is fixed, most by the paper, are judged once, at that size.
PLANS: dict[str, Plan] = {
    "figS1": single_look(4),
    "figS6": Plan((4, 8, 12, 16), 4),
    "bias_targets": single_look(3),
}


def of_figure(figure: str) -> dict[str, Claim]:
    """Return the claims that one experiment tests."""
    return {key: claim for key, claim in CLAIMS.items() if claim.figure == figure}
