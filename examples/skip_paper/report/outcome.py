"""What an experiment has shown, for its JSON file and the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skip_paper.measures.series import Series
from skip_paper.runs.setting import Setting
from skip_paper.verdicts.decisions import Verdict


@dataclass(frozen=True)
class Outcome:
    """What an experiment has shown: numbers for its JSON file, verdicts of each condition ("" without), a caption."""

    numbers: dict[str, Any]
    verdicts: dict[str, list[Verdict]]
    caption: str
    diverged: int = 0


def outcome(all_series: dict[str, list[Series]], verdicts: dict[str, list[Verdict]], names: Sequence[str],
            caption: str) -> Outcome:  # fmt: skip
    """Return the outcome of an experiment from its series in each setting."""
    numbers = {setting: {s.label: s.summary(names) for s in group} for setting, group in all_series.items()}
    return Outcome(numbers, verdicts, caption, sum(s.diverged for group in all_series.values() for s in group))


def caption_of(settings: Sequence[Setting], words: str, *, varied: bool = False) -> str:
    """Return what panels show and what the paper found (``words``), conditions, data, runs and sizes.

    ``varied``: conditions are what the figure varies, and are not named.
    """
    conditions = ", ".join(dict.fromkeys(setting.condition.words for setting in settings))
    named = "" if varied else f"Conditions: {conditions}. "
    designs = "; ".join(dict.fromkeys(map(_design, settings)))
    return f"{words} {named}{designs}. Bars: standard errors."


def _design(setting: Setting) -> str:
    size = setting.size
    titles = " and ".join(dict.fromkeys(setting.load(name).title for name in size.data))
    count = 2 * min(size.num_train or 10**9, len(setting.load(size.data[0]).train[0]))
    inputs = "pixels" if size.num_components is None else f"{size.num_components} principal components"
    words = f"{size.name} networks on {titles} ({inputs}), {count:,} images with mirrors, {size.runs} runs each"
    if size.chosen:
        words = words.replace("runs each", f"runs, best and worst {size.chosen}")
    if size.spectrum_epochs:
        words += f", spectra of {min(size.spectrum_examples, count):,} examples"
        words += f", {size.probes} probes" if size.probes else ""
        words += f", {size.products} Lanczos products" if size.products else ""
        words += f", {size.exact_runs} runs of a kind exact" if size.exact_runs else ""
    return words


def as_dicts(verdicts: dict[str, list[Verdict]]) -> dict[str, Any]:
    """Return verdicts for JSON."""
    return {condition: [verdict.as_dict() for verdict in group] for condition, group in verdicts.items()}
