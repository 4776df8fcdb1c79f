"""Sections 2.3 and 2.4: degeneracy of the three architectures, and what the best and the worst plain networks share."""

from skip_paper.verdicts.decisions import Claim
from skip_paper.verdicts.quantities import Quantity
from skip_paper.verdicts.rules import Larger, Level, Related, Varies
from skip_paper.verdicts.table.parts import (
    ACCURACY,
    CORRELATION,
    DEGENERATE,
    EXPLAINED,
    NEGATIVE,
    NORM,
    OF_FRACTIONS,
    ONE_POINT,
    OVERLAP,
    RELATIVE,
    START_GRADIENT,
    WEAK,
    ZEROS,
    claim,
    ours,
)

PLAIN, RESIDUAL, HYPER = "plain", "residual", "hyper-residual"
LATE = Quantity("degenerate", "last", scale=100)
FALL = Quantity("degenerate", "fall", scale=100)
DEEPER = Quantity("variance_explained", "start", "slope", scale=100)

ARCHITECTURES = (
    claim("3-accuracy-residual", "fig3", "2.3",
          "The plain architecture has the lowest training speed.",
          "training accuracy: residual above plain", Larger(RESIDUAL, PLAIN, ACCURACY), margin=ONE_POINT),
    claim("3-accuracy-hyper", "fig3", "2.3",
          "The hyper-residual architecture has the highest training speed.",
          "training accuracy: hyper-residual above residual", Larger(HYPER, RESIDUAL, ACCURACY), margin=ONE_POINT),
    claim("3-degenerate-plain", "fig3", "2.3",
          "The plain architecture is the most degenerate.",
          "degenerate eigenvalues: plain above residual", Larger(PLAIN, RESIDUAL, DEGENERATE), margin=OF_FRACTIONS),
    claim("3-degenerate-hyper", "fig3", "2.3",
          "The hyper-residual architecture is the least degenerate.",
          "degenerate eigenvalues: residual above hyper-residual", Larger(RESIDUAL, HYPER, DEGENERATE),
          margin=OF_FRACTIONS),
    claim("3-negative-residual", "fig3", "2.3",
          "We observe the opposite pattern for the fraction of negative eigenvalues (Figure 3c).",
          "negative eigenvalues: residual above plain", Larger(RESIDUAL, PLAIN, NEGATIVE), margin=OF_FRACTIONS),
    claim("3-negative-hyper", "fig3", "2.3",
          "We observe the opposite pattern for the fraction of negative eigenvalues (Figure 3c).",
          "negative eigenvalues: hyper-residual above residual", Larger(HYPER, RESIDUAL, NEGATIVE),
          margin=OF_FRACTIONS),
    claim("3-early", "fig3", "2.3",
          "The differences between the architectures are more prominent early on in the training.",
          "degenerate eigenvalues, plain less residual: first spectrum less last", Larger(PLAIN, RESIDUAL, FALL),
          margin=OF_FRACTIONS),
    claim("3-crossover", "fig3", "2.3",
          "There is an indication of a crossover later during training, with less degenerate models early on becoming "
          "slightly more degenerate later on as the training performance starts to saturate.",
          "degenerate eigenvalues at the end: residual above plain", Larger(RESIDUAL, PLAIN, LATE),
          margin=OF_FRACTIONS),
    claim("3-skips-of-hyper", "fig3", "note 2",
          "We found that these matrices [copies of 32 orthonormal vectors] performed slightly better than orthogonal "
          "matrices.",
          "training accuracy of hyper-residual: copied above orthogonal skips",
          Larger(HYPER, "hyper-residual, orthogonal", ACCURACY, paired=True), margin=ONE_POINT),
    ours("3-relative", "fig3", "2.3",
         "Plain networks are the most degenerate also where the window follows the largest eigenvalue.",
         "eigenvalues below a thousandth of the largest: plain above residual", Larger(PLAIN, RESIDUAL, RELATIVE),
         margin=OF_FRACTIONS),
)  # fmt: skip


def best_and_worst(figure: str, section: str, sentences: dict[str, str]) -> tuple[Claim, ...]:
    """Return the claims on what predicts who trains well, over all runs of one plain network."""
    short = figure.removeprefix("fig")
    rules = {
        "degenerate": (DEGENERATE, True, "falls with degenerate eigenvalues"),
        "negative": (NEGATIVE, False, "rises with negative eigenvalues"),
        "norm": (NORM, False, "rises with the norm of incoming weights"),
        "norm-early": (Quantity("weight_norm", "first"), False, "rises with the norm of incoming weights, epoch 1"),
        "overlap": (OVERLAP, True, "falls with overlap"),
        "dependence": (EXPLAINED, True, "falls with the variance of the top three modes"),
    }
    return tuple(
        claim(f"{short}-{name}", figure, section, sentence, f"training accuracy {words}",
              Related("all", quantity, ACCURACY, falling=falling), unit=CORRELATION, margin=WEAK)
        for name, sentence in sentences.items()
        for quantity, falling, words in [rules[name]]
    )  # fmt: skip


PREDICTORS = (
    claim("4-varies", "fig4", "2.4", "Training performance varied widely across runs.",
          "standard deviation of training accuracy over runs, less 1 point", Varies("all", ACCURACY, 1.0)),
    *best_and_worst("fig4", "2.4", {
        "degenerate": "The worst networks were more degenerate (Figure 4b).",
        "norm": "They were significantly closer to elimination singularities, as measured by the average l2-norm of the "
                "incoming weights of their hidden units (Figure 4c).",
        "overlap": "They were significantly closer to overlap singularities (Figure 4d), as measured by the mean "
                   "correlation between the incoming weights of their hidden units.",
        "dependence": "Their hidden units were significantly more linearly dependent (Figure 4e).",
    }),
    claim("4-depth", "fig4", "2.1",
          "Saxe et al. (2013) demonstrated that this linear dependence problem arises generically, and becomes worse "
          "with depth, in randomly initialized deep linear networks.",
          "variance of the top three modes at the start: rise per layer of the plain ReLU networks",
          Level("all", DEEPER), unit="percentage points a layer", margin=0.1),
    ours("4-dead", "fig4", "2.4",
         "Networks whose ReLUs are more often zero train worse: elimination by activity, not by the norm of weights.",
         "training accuracy falls with zero ReLU outputs", Related("all", ZEROS, ACCURACY, falling=True),
         unit=CORRELATION, margin=WEAK),
    ours("4-given-gradients", "fig4", "Discussion (i)",
         "At equal gradients at the start, degeneracy still predicts who trains.",
         "training accuracy falls with degenerate eigenvalues, at equal gradients at the start",
         Related("all", DEGENERATE, ACCURACY, given=START_GRADIENT, falling=True), unit=CORRELATION, margin=WEAK),
    ours("4-relative", "fig4", "2.4",
         "Degeneracy predicts who trains also where the window follows the largest eigenvalue.",
         "training accuracy falls with eigenvalues below a thousandth of the largest",
         Related("all", RELATIVE, ACCURACY, falling=True), unit=CORRELATION, margin=WEAK),
    *best_and_worst("figS7", "2.4", dict.fromkeys(("degenerate", "norm", "overlap", "dependence"), "Replication of the results reported in Figure 4 (Figure S7; here on CIFAR-10).")),
)  # fmt: skip
