"""The table of exact statements: the paper's sentence, whether it holds as stated, and what is right."""

import itertools
from dataclasses import dataclass

from skip_paper.verdicts.exact import linear, singularities

ROUNDING, CLEARLY = 1e-9, 1e-6  # what counts as zero, and as clearly not, for numbers of order 1


@dataclass(frozen=True)
class Statement:
    """One exact statement.

    Parameters
    ----------
    key, sentence, section
        Its name, the paper's words, and where they stand.
    holds
        Whether it holds as stated, computed.
    found
        What was computed, in numbers.
    right
        The condition under which it is right, or what is right instead; "" where it holds as stated.
    by_construction
        It could not have come out otherwise, and counts for nothing.
    """

    key: str
    sentence: str
    section: str
    holds: bool
    found: str
    right: str = ""
    by_construction: bool = False


def statements() -> list[Statement]:
    """Compute all exact statements, in the paper's order."""
    return [*_section_2(), *_note_1(), *_note_5(), *_skips()]


def _section_2() -> list[Statement]:
    with_skip, without = (
        singularities.zero_weights("w", skip=skip, at_zero_error=True) for skip in (True, False)
    )  # fmt: skip
    inside, outside = linear.segments()
    counts = singularities.null_directions()
    slope = singularities.near_overlap()
    return [
        Statement(
            "w-zero", "The reverse holds for zero outgoing weights, w = 0: skip connections recover identifiability for "
            "J.", "figure 1", without[1] < ROUNDING and with_skip[0] > CLEARLY,
            f"|H d| for d in J: {without[1]:.1g} without, {with_skip[0]:.2g} or more with a skip to the layer above",
            "At zero error. With an error w and J stay coupled, as in note 1.",
        ),
        Statement(
            "segments", "The elimination manifolds divide the overlap manifolds into stable and unstable segments.",
            "2.2", inside < 0 < outside, f"d log h / dt: {inside:.2g} at z = 0.5, {outside:.2g} at z = 1.3",
            "Which of them is stable depends on the sign of λ w.",
        ),
        Statement(
            "directions", "These overlap directions become more numerous as the number of hidden units increases.",
            "2.2", counts[0] == 0 and counts[2] == 2 * counts[1] > 0,
            f"null directions with 1, 2 and 3 equal units: {', '.join(map(str, counts))}",
        ),
        Statement(
            "near", "They can be approximately [dependent], which makes the Hessian close to singular.", "note 1",
            0.5 < slope < 2.5, f"|H d| grows as the distance to the power {slope:.2f}", "At zero error.",
        ),
    ]  # fmt: skip


def _note_1() -> list[Statement]:
    moved, regular, right = (
        singularities.overlap_anywhere(), singularities.overlap_regular(), singularities.overlap_corrected()
    )  # fmt: skip
    dead, kept = singularities.dead_unit(skip=False), singularities.dead_unit(skip=True)
    stated = singularities.zero_weights("J", skip=False, at_zero_error=False)
    perfect, skipped = (singularities.zero_weights("J", skip=skip, at_zero_error=True) for skip in (False, True))
    straight, curved = singularities.dependence("linear", skip=False), singularities.dependence("tanh", skip=True)
    overlap = singularities.overlap_with_skips()
    return [
        Statement(
            "overlap", "If the units have the same incoming weights, the columns of the Hessian become identical, making "
            "the Hessian degenerate.", "note 1", moved < ROUNDING and regular < ROUNDING,
            f"|H d| / |H| is {moved:.2g} or more; a network with smallest |λ| = {regular:.2g}; {right:.1g} as corrected",
            "At zero error, or where the layer above has more units than the one below (one more with biases). Else the "
            "columns differ in the rows of the incoming weights, by E[(c · δ) φ'(J x) x].",
        ),
        Statement(
            "dead", "When the presynaptic unit is always zero, the column of the Hessian becomes the zero vector.",
            "note 1", dead[0] < ROUNDING, f"greatest entry {dead[0]:.1g}",
        ),
        Statement(
            "zero-incoming", "Elimination singularities arise when incoming weights become zero.", "2.1",
            stated[1] < ROUNDING,
            f"tanh: |H d| is {stated[0]:.2g} or more with an error, {perfect[1]:.1g} without",
            "At zero error, or where the unit is silent in a neighbourhood: a smooth unit with zero weights is not.",
        ),
        Statement(
            "dependence", "When a set of units become linearly dependent, the columns become linearly dependent as well.",
            "note 1", straight[1] < ROUNDING, f"|H d| = {straight[1]:.1g} in a linear network at zero error",
            "At zero error, or with more units above, as for overlap.",
        ),
        Statement(
            "skips-overlap", "The overlap singularities are eliminated [by skips].", "note 1", overlap > CLEARLY,
            f"|H d| is {overlap:.2g} or more for all d of two equal units, at zero error",
        ),
        Statement(
            "skips-elimination", "Elimination singularities are also eliminated [by skips].", "note 1",
            kept[1] > CLEARLY and skipped[0] > CLEARLY,
            f"|H d| is {kept[1]:.2g} or more for a dead unit, {skipped[0]:.2g} for zero weights, at zero error",
        ),
        Statement(
            "skips-dependence", "Any linear dependence is also eliminated by adding linearly independent inputs.",
            "note 1", curved[0] > CLEARLY, f"|H d| is {curved[0]:.2g} or more",
        ),
    ]  # fmt: skip


def _note_5() -> list[Statement]:
    apart, columns = linear.skips_shift()
    start = linear.same_start()
    away, perfect = linear.equal_strengths()
    found = linear.saddles()
    least = linear.least_degenerate_of_grid()
    return [
        Statement(
            "linear-shift", "[In linear networks] this just shifts the locations of the singularities.", "note 5",
            apart < ROUNDING < columns, f"Hessians of the residual network and of the shifted plain one: {apart:.1g} apart",
        ),
        Statement(
            "linear-start", "In linear networks, any benefits of skip connections are due entirely to better "
            "initialization.", "2.5", start < ROUNDING, f"trajectories from W and from W + I: {start:.1g} apart",
        ),
        Statement(
            "equal-strengths", "The columns corresponding to a_i and a_j in the Hessian become identical when a_i = a_j, "
            "making the Hessian degenerate.", "note 5", away < ROUNDING,
            f"columns differ by {away:.2g} or more away from u = s, by {perfect:.1g} at it",
            "Only where u = s, and there the Hessian has rank 1 for all strengths: the coincidence is not the cause.",
        ),
        Statement(
            "saddles", "The plain network has a saddle point at (0, 0); [skips] move [it] to (-1, -1) and (-1, -2).",
            "note 5", all(found), f"{sum(found)} of 3 are saddles",
        ),
        Statement(
            "grid", "We restrict the analysis here to conditions where the fraction of degenerate eigenvalues was at least "
            "99.8%. The mixture model usually underestimates the fraction of degenerate eigenvalues.", "notes 3, 4",
            least < 99.8, f"w is at most 0.001, so the grid says {least:.1f}% or more",
            "For actual fractions of 99.8% to 99.9%, which figure S3 shows, the mixture on this grid must overestimate.",
        ),
    ]  # fmt: skip


def _skips() -> list[Statement]:
    circle, correlation = linear.unit_circle(), linear.eigenvector_correlation()
    cosines, factor = linear.column_products()
    rising = all(a < b for a, b in itertools.pairwise(cosines))
    return [
        Statement(
            "circle", "With this construction, Σ has the same eigenvalue spectrum as O.", "note 6", circle < CLEARLY,
            f"eigenvalues are {circle:.1g} from the unit circle at most",
        ),
        Statement(
            "correlation", "The eigenvectors of Σ are linear combinations of the eigenvectors of O such that their "
            "correlation matrix is given by R.", "note 6", correlation < CLEARLY, f"{correlation:.1g} apart at most",
        ),
        Statement(
            "tau", "Larger values of τ yield more correlated, hence less orthogonal [vectors].", "note 6",
            rising and cosines[0] < ROUNDING, f"mean |cosine| of columns {cosines[0]:.1g} to {cosines[-1]:.2g}",
        ),
        Statement(
            "covariance", "These eigenvalues are the eigenvalues of the covariance matrix of the skip connectivity vectors.",
            "figure 8", abs(factor - 1) < 0.05,
            f"largest eigenvalue of the columns' Gram matrix: {factor:.2g} times that of S at the largest τ",
            "They are those of S, the covariance of the eigenvectors before its diagonal is made 1.",
        ),
        Statement(
            "zero-responses", "The hidden units of the network with dense orthogonal skips have a lower probability of "
            "zero responses.", "2.7, figure 7b", True, "a dense skip adds a number that is almost surely not 0",
            "Only the first layer can be 0 exactly, so this is 1/depth of that layer's. `zero ReLU outputs` is judged.",
            by_construction=True,
        ),
    ]  # fmt: skip
