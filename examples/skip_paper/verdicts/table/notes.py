"""Notes 3 to 5 and 7: small networks with exact spectra, the mixture against them, linear and shallow networks."""

from skip_paper.verdicts.quantities import Quantity
from skip_paper.verdicts.rules import Computed, Larger, Level, Related, Track
from skip_paper.verdicts.table.degeneracy import best_and_worst
from skip_paper.verdicts.table.parts import (
    ACCURACY,
    CORRELATION,
    DECADES,
    DECAY,
    DEGENERATE,
    NEGATIVE,
    OF_FRACTIONS,
    ONE_POINT,
    SMALL_FACTOR,
    START_GRADIENT,
    TEST_ACCURACY,
    WEAK,
    claim,
    ours,
)

PLAIN, RESIDUAL = "plain", "residual"
OVERLAP_2 = Quantity("overlap", layer="second")
GRADIENT = Quantity("gradient_norm", log=True)
VALIDATION = "2.3, note 4"

SMALL = (
    claim("S1-train", "figS1", "note 4", "Residual networks have better training performance (Figure S1a).",
          "training accuracy: residual above plain", Larger(RESIDUAL, PLAIN, ACCURACY), margin=ONE_POINT),
    claim("S1-test", "figS1", "note 4", "Residual networks have better test performance (Figure S1b).",
          "test accuracy: residual above plain", Larger(RESIDUAL, PLAIN, TEST_ACCURACY), margin=ONE_POINT),
    claim("S1-degenerate", "figS1", "note 4", "They are less degenerate (Figure S1d).",
          "degenerate eigenvalues: plain above residual", Larger(PLAIN, RESIDUAL, DEGENERATE), margin=OF_FRACTIONS),
    claim("S1-negative", "figS1", "note 4", "[They] have more negative eigenvalues than plain networks (Figure S1c).",
          "negative eigenvalues: residual above plain", Larger(RESIDUAL, PLAIN, NEGATIVE), margin=OF_FRACTIONS),
    *best_and_worst("figS2", "note 4", {
        "degenerate": "The best networks are less degenerate (Figure S2d).",
        "negative": "[They] have more negative eigenvalues than the worst networks (Figure S2c).",
        "overlap": "The hidden units of the best networks have less overlap (Figure S2f).",
        "norm-early": "[They], at least initially during training, have slightly larger weight norms than the "
                      "worst-performing networks (Figure S2e).",
    }),
    claim("4-gradients-alike", "figS2", "Discussion (i)",
          "All nets have the exact same plain architecture and similarly vanishing gradients at the beginning of "
          "training, yet they have diverging performances.",
          "training accuracy and the gradient of the first layer at the start: no relation",
          Related("all", START_GRADIENT, ACCURACY), unit=CORRELATION, margin=WEAK, kind="alike"),
    ours("S2-given-gradients", "figS2", "Discussion (i)",
         "At equal gradients at the start, degeneracy still predicts who trains.",
         "training accuracy falls with degenerate eigenvalues, at equal gradients at the start",
         Related("all", DEGENERATE, ACCURACY, given=START_GRADIENT, falling=True), unit=CORRELATION, margin=WEAK),
)  # fmt: skip

MIXTURE = (
    claim("S3-degenerate", "figS3", VALIDATION,
          "The mixture model slightly underestimated the fraction of degenerate eigenvalues.",
          "actual less estimated degenerate fraction", Computed("means of each network"), margin=OF_FRACTIONS),
    ours("S3-wider", "figS3", VALIDATION,
         "On a grid whose weight may be ten times larger, the mixture slightly underestimates the degenerate fraction.",
         "actual less estimated degenerate fraction, on a wider grid", Computed("means of each network"),
         margin=OF_FRACTIONS),
    claim("S3-negative", "figS3", VALIDATION,
          "[It] overestimated the fraction of negative eigenvalues.",
          "estimated less actual negative fraction", Computed("means of each network"), margin=OF_FRACTIONS),
    claim("S3-line-degenerate", "figS3", VALIDATION,
          "There was a highly significant linear relationship between the actual and estimated fractions.",
          "actual and estimated degenerate fractions", Computed("rank correlation over networks"), unit=CORRELATION,
          margin=WEAK),
    claim("S3-line-negative", "figS3", VALIDATION,
          "There was a highly significant linear relationship between the actual and estimated fractions.",
          "actual and estimated negative fractions", Computed("rank correlation over networks"), unit=CORRELATION,
          margin=WEAK),
    claim("S3-narrow", "figS3", "note 3",
          "The fits are not very sensitive to the precise choice of the parameters of the Gaussian component.",
          "degenerate fraction with σ of 0.0001 and of 0.01 instead of 0.001", Computed("fits of the same moments"),
          margin=OF_FRACTIONS, kind="alike"),
)  # fmt: skip

LINEAR = (
    claim("S4-small", "figS4", "note 5",
          "When the variables are initialized to small random values, the dynamics in the plain network initially evolves "
          "slowly; whereas it is much faster in the residual network (Figure S4a).",
          "time to within 1% of both modes, from small weights: plain above residual", Computed("20 random starts"), unit="time"),
    claim("S4-equal", "figS4", "note 5",
          "Even when we equalize the initial norms, we still observe an advantage for the residual network (Figure S4b).",
          "time to within 1% of both modes, from equal norms: plain above residual", Computed("one start"), unit="time"),
    claim("S5-residual", "figS5", "note 5",
          "10-layer linear networks demonstrat[e] a clear advantage for the residual architecture over the plain "
          "architecture (Figure S5b).",
          "time to within 1% of s: plain above residual", Computed("the same random starts"), unit=DECADES),
    claim("S5-hyper", "figS5", "note 5",
          "[And] for the hyper-residual architecture over the residual architecture (Figure S5b).",
          "time to within 1% of s: residual above hyper-residual", Computed("the same random starts"), unit=DECADES),
    claim("S5-depth", "figS5", "note 5", "We found these effects to be more pronounced in deeper networks.",
          "factor of time, plain over residual: 10 layers above 3", Computed("the same random starts"), unit=DECADES),
)  # fmt: skip

SHALLOW = (
    claim("S6-train", "figS6", "note 7", "The residual network performs slightly better on the training data.",
          "training accuracy: residual above plain", Larger(RESIDUAL, PLAIN, ACCURACY, paired=True),
          margin=ONE_POINT),
    claim("S6-test", "figS6", "note 7", "[And] on the test data (Figure S6b).",
          "test accuracy: residual above plain", Larger(RESIDUAL, PLAIN, TEST_ACCURACY, paired=True),
          margin=ONE_POINT),
    claim("S6-degenerate", "figS6", "note 7", "It is less degenerate (Figure S6d).",
          "degenerate eigenvalues: plain above residual", Larger(PLAIN, RESIDUAL, DEGENERATE, paired=True),
          margin=OF_FRACTIONS),
    claim("S6-negative", "figS6", "note 7", "[It] has more negative eigenvalues (Figure S6c).",
          "negative eigenvalues: residual above plain", Larger(RESIDUAL, PLAIN, NEGATIVE, paired=True),
          margin=OF_FRACTIONS),
    claim("S6-gradients", "figS6", "note 7", "It has larger gradients (Figure S6e).",
          "gradient norm: residual above plain", Larger(RESIDUAL, PLAIN, GRADIENT, paired=True), unit=DECADES,
          margin=SMALL_FACTOR),
    claim("S6-vanish", "figS6", "note 7",
          "The gradients in the plain network do not vanish even at the beginning of training.",
          "decay of gradients from the last to the first layer, plain, epoch 0, below half a decade",
          Level(PLAIN, DECAY, 0.5, below=True), unit=DECADES, margin=SMALL_FACTOR),
    claim("S6-overlap", "figS6", "note 7", "Its hidden units have less overlap than the plain network (Figure S6f).",
          "overlap of the second layer: plain above residual", Larger(PLAIN, RESIDUAL, OVERLAP_2, paired=True),
          unit=CORRELATION, margin=0.01),
    claim("S6-track", "figS6", "note 7",
          "The gradient norms closely track the mean overlap between the hidden units and the degeneracy of the network "
          "(Figure S6d-f) throughout training.",
          "gradient norm and overlap over the epochs of the plain networks: opposite",
          Track(PLAIN, GRADIENT, OVERLAP_2, falling=True), unit=CORRELATION, margin=WEAK),
    claim("S6-accuracy-overlap", "figS6", "Discussion (v)",
          "Gradient norms and accuracy are strongly correlated with distance from the overlap manifolds in these shallow "
          "nets.",
          "training accuracy and overlap over the epochs of the plain networks: opposite",
          Track(PLAIN, ACCURACY, OVERLAP_2, falling=True), unit=CORRELATION, margin=WEAK),
)  # fmt: skip

TOY = (
    claim("2-plateau", "fig2", "2.2",
          "Near-singularity plateaus manifest themselves as a general slowing of the dynamics near the overlap "
          "manifolds, even when the initial location is not within the basin of attraction of the stable segment.",
          "slowing near the overlap manifold, over that at the same loss away from it",
          Computed("a simulated network of two units"), unit=DECADES),
    claim("2-on-singularity", "fig2", "2.2",
          "On-singularity plateaus are caused by the random walk behavior of SGD along a stable segment of the overlap "
          "manifolds until it escapes.",
          "the walk of z along the segment crosses |z| = 1, and h then leaves 0",
          Computed("a simulated network of two units, with noise"), unit="share of walks, less a half"),
    claim("2-slower", "fig2", "2.2",
          "Learning along a linear dependence manifold, represented by m here, is much slower than learning along other "
          "directions, e.g. the norm of the incoming weight vector Jc.",
          "m is slower than |J_c| by a factor of 2 or more, in lengths of the weights", Computed("random teachers"),
          unit="decades beyond a factor of 2"),
    claim("2-generic", "fig2", "note 2", "We empirically confirmed that the flow field is generic.",
          "share of random teachers with a slower m, less 95%", Computed("random teachers"), unit="share"),
    ours("2-settled", "fig2", "2.2",
         "A reduced system in which the other parameters settle, as the paper assumes, follows the network.",
         "10% less the greatest relative error of its velocities", Computed("a simulated network of two units"),
         unit="relative error"),
)  # fmt: skip
