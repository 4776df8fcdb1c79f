"""Sections 2.5 to 2.7: initialisation, bias regularisation, and skips that are not the identity."""

from skip_paper.verdicts.quantities import Quantity
from skip_paper.verdicts.rules import Larger, Peak, Rising, Slightly
from skip_paper.verdicts.table.parts import (
    ACCURACY,
    DECADES,
    DECAY,
    DEGENERATE,
    EXPLAINED,
    GRADIENT_1_2,
    OF_FRACTIONS,
    ONE_POINT,
    SMALL_FACTOR,
    ZEROS,
    claim,
    ours,
)

PLAIN, RESIDUAL, MALICIOUS = "plain", "residual", "ResMalInit"
BIASREG, WEAKER, L2, BN = "BiasReg", "BiasReg, λ/10", "BiasL2Reg", "BiasReg+BN"
SHARE = "half of the distance, less the share"
START_MEAN = Quantity("gradient_norm", "start", log=True)
LOWEST_1_2 = Quantity("gradient_norm", (1.0, 2.0), "first", log=True)
BOTTOM = Quantity("gradient_norm", "start", "first", log=True)

BIASES = (
    claim("5-malicious-reduces", "fig5", "2.5",
          "The malicious initialization of the residual network does reduce its performance.",
          "training accuracy: residual above ResMalInit", Larger(RESIDUAL, MALICIOUS, ACCURACY, paired=True),
          margin=ONE_POINT),
    claim("5-malicious-slightly", "fig5", "2.5",
          "But the performance reduction is only slight.",
          "training accuracy: ResMalInit loses less than half of what plain loses",
          Slightly(RESIDUAL, MALICIOUS, PLAIN, ACCURACY), unit=SHARE),
    claim("5-biasreg-plain", "fig5", "2.6",
          "Our simple singularity elimination through bias regularization scheme significantly improves performance over "
          "the plain network.",
          "training accuracy: BiasReg above plain", Larger(BIASREG, PLAIN, ACCURACY, paired=True), margin=ONE_POINT),
    ours("5-weaker", "fig5", "2.6",
         "Bias regularisation improves performance also with a tenth of the penalty, which leaves biases between.",
         "training accuracy: BiasReg with a tenth of the penalty above plain",
         Larger(WEAKER, PLAIN, ACCURACY, paired=True), margin=ONE_POINT),
    claim("5-residual-biasreg", "fig5", "2.6",
          "There is still a significant performance gap between our BiasReg network and the residual network.",
          "training accuracy: residual above BiasReg", Larger(RESIDUAL, BIASREG, ACCURACY, paired=True),
          margin=ONE_POINT),
    claim("5-l2reg", "fig5", "2.6",
          "The standard l2-norm regularization on the biases does not improve performance over the plain network.",
          "training accuracy: BiasL2Reg no better than plain", Larger(L2, PLAIN, ACCURACY, paired=True),
          margin=ONE_POINT, kind="no larger"),
    claim("5-zeros", "fig5", "2.6",
          "Positive μ values decrease the average threshold of the units and make the elimination of units less likely.",
          "zero ReLU outputs: plain above BiasReg", Larger(PLAIN, BIASREG, ZEROS, paired=True), margin=ONE_POINT),
    claim("5-dependence", "fig5", "2.6",
          "Decreased thresholds can also increase the dimensionality of the responses [..], thereby making them less "
          "linearly dependent.",
          "variance of the top three modes: plain above BiasReg", Larger(PLAIN, BIASREG, EXPLAINED, paired=True),
          margin=ONE_POINT),
    claim("5-degenerate-biasreg", "fig5", "2.6",
          "Both break degeneracies (Figure 5c).",
          "degenerate eigenvalues: plain above BiasReg", Larger(PLAIN, BIASREG, DEGENERATE, paired=True),
          margin=OF_FRACTIONS),
    claim("5-degenerate-residual", "fig5", "2.6",
          "The residual network breaks the degeneracies more effectively than the BiasReg network (Figure 5c).",
          "degenerate eigenvalues: BiasReg above residual", Larger(BIASREG, RESIDUAL, DEGENERATE, paired=True),
          margin=OF_FRACTIONS),
)  # fmt: skip

MEANS, SCALES = ("0", "0.45", "0.9", "1.8"), ("0", "0.5", "1", "2")


def _targets(means: tuple[str, ...], scales: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"μ = {mean}, σ = {scale}" for mean in means for scale in scales)


TARGETS = (
    claim("5-intermediate-mean", "bias_targets", "2.6",
          "We expect the performance to be optimal for intermediate values of μ and σ.",
          "training accuracy of BiasReg: middle μ above both ends, mean over σ",
          Peak(_targets(MEANS[:1], SCALES), _targets(MEANS[1:3], SCALES), _targets(MEANS[3:], SCALES), ACCURACY),
          margin=ONE_POINT),
    claim("5-intermediate-scale", "bias_targets", "2.6",
          "We expect the performance to be optimal for intermediate values of μ and σ.",
          "training accuracy of BiasReg: middle σ above both ends, mean over μ",
          Peak(_targets(MEANS, SCALES[:1]), _targets(MEANS, SCALES[1:3]), _targets(MEANS, SCALES[3:]), ACCURACY),
          margin=ONE_POINT),
)  # fmt: skip

GRADIENTS = (
    claim("6-plain-decays", "fig6", "2.6",
          "At the beginning of training, the gradient norms do not diminish in earlier layers of the residual network. "
          "In the plain network, they decay quickly as one descends from the top.",
          "decay of gradients from the last to the first layer, epoch 0: plain above residual",
          Larger(PLAIN, RESIDUAL, DECAY, paired=True), unit=DECADES, margin=SMALL_FACTOR),
    claim("6-malicious-keeps", "fig6", "2.6",
          "Even for the maliciously initialized residual network, gradients do not decay quickly at the beginning of "
          "training.",
          "decay of gradients from the last to the first layer, epoch 0: plain above ResMalInit",
          Larger(PLAIN, MALICIOUS, DECAY, paired=True), unit=DECADES, margin=SMALL_FACTOR),
    claim("6-later-plain", "fig6", "2.6",
          "As training progresses (Figure 6a, Epochs 1 and 2), the gradient norms are larger for the residual network "
          "than for the plain network.",
          "gradient norm, epochs 1 and 2: residual above plain", Larger(RESIDUAL, PLAIN, GRADIENT_1_2, paired=True),
          unit=DECADES, margin=SMALL_FACTOR),
    claim("6-later-biasreg", "fig6", "2.6",
          "As training progresses (Figure 6a, Epochs 1 and 2), the gradient norms are larger for the residual network "
          "than for the BiasReg network.",
          "gradient norm, epochs 1 and 2: residual above BiasReg",
          Larger(RESIDUAL, BIASREG, GRADIENT_1_2, paired=True), unit=DECADES, margin=SMALL_FACTOR),
    claim("6-malicious-alike", "fig6", "2.6",
          "The gradient norms [of ResMalInit] behave similarly to those of the residual network during training.",
          "gradient norm, epochs 1 and 2: ResMalInit and residual alike",
          Larger(MALICIOUS, RESIDUAL, GRADIENT_1_2, paired=True), unit=DECADES, margin=0.2, kind="alike"),
    claim("6-bn-gradients", "fig6", "2.6",
          "Adding a single batch normalization layer in the middle of the BiasReg network alleviates the vanishing "
          "gradients problem for this network.",
          "decay of gradients from the last to the first layer, epoch 0: BiasReg above BiasReg+BN",
          Larger(BIASREG, BN, DECAY, paired=True), unit=DECADES, margin=SMALL_FACTOR),
    claim("6-bn-improves", "fig6", "2.6",
          "[It] brings its performance closer to that of the residual network.",
          "training accuracy: BiasReg+BN above BiasReg", Larger(BN, BIASREG, ACCURACY, paired=True),
          margin=ONE_POINT),
    claim("6-bn-approaches", "fig6", "2.6",
          "Its performance approaches the performance of the residual network.",
          "training accuracy: BiasReg+BN loses less than half of what BiasReg loses against residual",
          Slightly(RESIDUAL, BN, BIASREG, ACCURACY), unit=SHARE),
    claim("6-biasreg-alike", "fig6", "Discussion (iv)",
          "The BiasReg and the plain net have almost identical (and vanishing) gradients early on in training.",
          "gradient norm of the first layer, epochs 1 and 2: BiasReg and plain alike",
          Larger(BIASREG, PLAIN, LOWEST_1_2, paired=True), unit=DECADES, margin=SMALL_FACTOR, kind="alike"),
)  # fmt: skip

SKIPS = (
    claim("7-dense", "fig7", "2.7",
          "Random dense orthogonal matrices performed better than identity skip connections.",
          "training accuracy: dense orthogonal above identity", Larger("dense", "identity", ACCURACY, paired=True),
          margin=ONE_POINT),
    claim("7-slightly", "fig7", "2.7",
          "[They] performed slightly better.",
          "training accuracy: dense orthogonal at most 2 points above identity",
          Larger("dense", "identity", ACCURACY, paired=True), margin=2.0, kind="no larger"),
    claim("7-order", "fig7", "2.7",
          "More orthogonal skip connectivity matrices yield better performance.",
          "training accuracy rises with the number of distinct skip vectors", Rising(ACCURACY),
          unit="percentage points a condition", margin=0.5),
    claim("7-vanishing", "fig7", "2.7",
          "The less orthogonal skip matrices also suffer from the vanishing gradients problem.",
          "gradient norm of the first layer, epoch 0, rises with the number of distinct skip vectors", Rising(BOTTOM),
          unit="decades a condition", margin=0.05),
    claim("7-gradients-alike", "fig7", "Discussion (ii)",
          "Vanishing gradients cannot explain the difference between identity skips and dense orthogonal skips, because "
          "both eliminate vanishing gradients.",
          "decay of gradients from the last to the first layer, epoch 0: dense and identity alike",
          Larger("dense", "identity", DECAY, paired=True), unit=DECADES, margin=0.3, kind="alike"),
    ours("7-zero-relus", "fig7", "2.7",
         "With dense skips ReLUs are less often zero. (Of responses this is arithmetic: a dense skip adds something to them.)",
         "zero ReLU outputs: identity above dense orthogonal", Larger("identity", "dense", ZEROS, paired=True),
         margin=ONE_POINT),
    claim("8-accuracy", "fig8", "2.7",
          "More orthogonal skip connectivity matrices still perform better than less orthogonal ones, even when their "
          "eigenvalue spectrum is fixed and the vanishing gradients problem does not arise.",
          "training accuracy falls with τ, at equal spectrum", Rising(ACCURACY, "τ = ", falling=True, same_start=True),
          unit="percentage points a condition", margin=0.5),
    claim("8-gradients", "fig8", "Discussion (iii)",
          "Spectrum-equalized non-orthogonal skips often have larger gradient norms.",
          "gradient norm, epoch 0, rises with τ", Rising(START_MEAN, "τ = "), unit="decades a condition", margin=0.05),
)  # fmt: skip
