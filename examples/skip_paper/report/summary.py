"""What became of each claim over all settings in which it was judged, from the results' files alone."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from skip_paper.verdicts.decisions import Claim
from skip_paper.verdicts.table import CLAIMS

Result = Mapping[str, Any]  # of one figure, as `save_outcome` writes it
Row = Mapping[str, Any]  # of one verdict, as `Verdict.as_dict` gives it
Status = Literal["reproduced", "contradicted", "absent", "mixed", "undecided", "not run"]
STATUSES: tuple[Status, ...] = ("reproduced", "contradicted", "absent", "mixed", "undecided", "not run")
WORDS: dict[str, str] = {
    "reproduced": "reproduced", "contradicted": "contradicted", "absent": "no effect",
    "mixed": "depends on the condition", "undecided": "undecided", "not run": "not run",
}  # fmt: skip
# The paper's order of figures, with what bears on them before or after.
ORDER = (
    "fig1", "fig2", "calibration", "fig3", "fig4", "fig5", "bias_targets", "fig6", "fig7", "fig8", "figS1", "figS2",
    "figS3", "figS4", "figS5", "figS6", "figS7",
)  # fmt: skip
# Where several settings were run, the first of these that has a number is quoted.
PREFERRED = ("calibrated", "literal")


@dataclass(frozen=True)
class Summary:
    """One claim with its verdicts in all settings.

    ``status``: the decision that all settings with one share; "mixed" where they differ.
    """

    claim: Claim
    rows: tuple[Row, ...]

    @property
    def status(self) -> Status:
        """What became of the claim."""
        decided = {row["decision"] for row in self.rows} - {"undecided"}
        if not self.rows:
            return "not run"
        if len(decided) > 1:
            return "mixed"
        only: Status = next(iter(decided)) if decided else "undecided"
        return only

    @property
    def quoted(self) -> Row | None:
        """The verdict whose number is quoted: of those that gave the status, by the order of settings."""
        measured = [row for row in self.rows if row["effect"] is not None]
        measured = [row for row in measured if row["decision"] == self.status] or measured

        def order(row: Row) -> int:
            found = [place for place, name in enumerate(PREFERRED) if name in row["condition"]]
            return found[0] if found else len(PREFERRED)

        rows = sorted(measured or self.rows, key=order)
        return rows[0] if rows else None


def summaries(results: Sequence[Result]) -> dict[str, Summary]:
    """Return the summary of each claim, in the order of the list."""
    rows: dict[str, list[Row]] = {key: [] for key in CLAIMS}
    for result in results:
        for group in result["verdicts"].values():
            for row in group:
                if row.get("key") in rows:
                    rows[row["key"]].append(row)
    return {key: Summary(CLAIMS[key], tuple(found)) for key, found in rows.items()}


def counts(found: Mapping[str, Summary], whose: str = "paper") -> Counter[Status]:
    """Return how many claims have each status."""
    return Counter(summary.status for summary in found.values() if summary.claim.whose == whose)


def number(value: float | None, *, sign: bool = False) -> str:
    """Return a number with three digits."""
    if value is None or not math.isfinite(value):
        return "∞"
    if value == 0:
        return "0"
    size = abs(value)
    text = f"{size:.3g}" if 1e-3 <= size < 1e5 else f"{size:.1e}"
    return ("−" if value < 0 else "+" if sign else "") + text


def interval(row: Row) -> str:
    """Return the effect with its interval and unit, or what stands in its place."""
    if row["effect"] is None:
        return "not measured"
    text = number(row["effect"], sign=True)
    if row["low"] is not None and row["high"] is not None:
        text += f" ({number(row['low'])} to {number(row['high'])})"
    return f"{text} {row['unit']}"


def p_value(row: Row) -> str:
    """Return the adjusted p value in words."""
    if row["low"] is None and row["decision"] != "undecided":
        return ""
    return f"p = {row['adjusted']:.2g}" if row["adjusted"] is not None and row["adjusted"] < 1 else "p = 1"
