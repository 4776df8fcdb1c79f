"""What the lists of claims share: quantities with their units, and short forms."""

import math

from skip_paper.verdicts.decisions import Claim, Kind, Whose
from skip_paper.verdicts.quantities import Quantity
from skip_paper.verdicts.rules import Rule

ACCURACY = Quantity("train_accuracy", scale=100)
TEST_ACCURACY = Quantity("test_accuracy", scale=100)
DEGENERATE = Quantity("degenerate", scale=100)
NEGATIVE = Quantity("negative", scale=100)
RELATIVE = Quantity("relative", scale=100)
NORM = Quantity("weight_norm")
OVERLAP = Quantity("overlap")
EXPLAINED = Quantity("variance_explained", scale=100)
ZEROS = Quantity("zero_rectified", scale=100)
START_GRADIENT = Quantity("gradient_norm", "start", "first", log=True)
DECAY = Quantity("gradient_norm", "start", "decay", log=True)
GRADIENT_1_2 = Quantity("gradient_norm", (1.0, 2.0), log=True)

POINTS = "percentage points"
DECADES = "decades"
CORRELATION = "correlation"
# Effects within these count as absent.
ONE_POINT = 1.0
OF_FRACTIONS = 0.05  # percentage points of eigenvalues: 2 of 4,852
WEAK = 0.2  # correlation
SMALL_FACTOR = 0.1  # decades: a quarter


def claim(
    key: str, figure: str, section: str, sentence: str, words: str, rule: Rule, *, unit: str = POINTS,
    margin: float = math.nan, kind: Kind = "larger", whose: Whose = "paper",
) -> Claim:  # fmt: skip
    """Return a claim; the paper's unless said otherwise."""
    return Claim(key, whose, sentence, section, figure, words, unit, margin, kind, rule)


def ours(
    key: str, figure: str, section: str, sentence: str, words: str, rule: Rule, *, unit: str = POINTS,
    margin: float = math.nan, kind: Kind = "larger",
) -> Claim:  # fmt: skip
    """Return a claim that the paper does not make; ``section`` is where it belongs."""
    return claim(key, figure, section, sentence, words, rule, unit=unit, margin=margin, kind=kind, whose="ours")
