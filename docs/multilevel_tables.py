"""The tables of what moments and traces of many examples cost, from the committed results."""

from collections.abc import Iterable
from typing import Any


def multilevel(content: dict[str, Any]) -> str:
    """Return what one interval costs in products with all examples, and how often intervals hold."""
    problem, costs = content["problem"], content["costs"]
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    widths = " and ".join(f"{width:.1%}" for width in costs["levels"]["width"])
    examples = " and ".join(f"{n:,}" for n in costs["levels"]["num_examples"])
    rows = [
        [f"levels of {examples} images", f"{costs['levels']['products']:.0f}"],
        ["plain probes, by the variance of some", f"{costs['plain']['products']:.0f}"],
        ["deflated, all examples", _deflated(costs)],
    ]
    lines = [
        f"{content['date']}, {content['machine']}; {versions}. A {problem['depth']}x{problem['width']} network of "
        f"{problem['parameters']:,} parameters, {problem['images']:,} images, asked for {problem['rtol']:.0%}.",
        "",
        f"| intervals of m_1 and m_2 of {widths} | products with all |",
        "|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]
    if "coverage" in content:
        found = content["coverage"]
        held = " and ".join(f"{share:.0%}" for share in found["held"])
        errors = " and ".join(f"{ratio:.2f}" for ratio in found["reported over true errors"])
        bias = " and ".join(f"{number:.1f}" for number in found["bias in standard errors of the mean"])
        lines.append(
            f"Over {found['seeds']} seeds, {found['products']:.0f} products on average: 95% intervals hold in {held}; "
            f"reported errors are {errors} of the true ones; means are off by {bias} of their standard errors."
        )
    return "\n".join(lines) + "\n"


def _deflated(costs: dict[str, Any]) -> str:
    """Return the fewest products that were tried whose intervals are as narrow, after the most that were not enough."""
    before = 0
    for row in costs["deflated"]:
        if all(mine <= asked for mine, asked in zip(row["width"], costs["levels"]["width"], strict=True)):
            return f"more than {before}, at most {row['products']}"
        before = row["products"]
    return f"more than {before}"


def multilevel_traces(content: dict[str, Any]) -> str:
    """Return what one accuracy costs in products with all examples, and how often intervals hold."""
    problem, costs, found = content["problem"], content["costs"], content["coverage"]
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    names = {
        "levels": "`multilevel_layer_traces`",
        "all examples": "`layer_traces`, all examples",
        "plain probes": "plain probes, all examples",
    }
    rows = [
        f"| {shown} | {costs[name]['mean']:.0f} ({min(costs[name]['products']):.0f} to "
        f"{max(costs[name]['products']):.0f}) |"
        for name, shown in names.items()
    ]
    lines = [
        f"{content['date']}, {content['machine']}; {versions}. A network of {problem['parameters']:,} parameters, "
        f"{problem['points']:,} points, {len(costs['levels']['products'])} seeds.",
        "",
        f"| intervals of the layers within {problem['rtol']:.0%} | products with all |",
        "|---|---|",
        *rows,
        "",
        f"Of the layers {_listed(problem['layers'])}, 95% intervals hold in {_shares(found['held'])} of "
        f"{found['seeds']} seeds, and in {_shares(found['held by more seeds'])} of {found['more seeds']}. The accuracy "
        f"is kept in {_shares(found['kept'])} of {found['seeds']}. Means over {found['more seeds']} seeds are off by "
        f"{_listed(f'{abs(bias):.1f}' for bias in found['bias in standard errors of the mean'])} of their standard "
        f"errors; reported errors are {_listed(f'{ratio:.2f}' for ratio in found['reported over true errors'])} of the "
        "true ones.",
    ]
    return "\n".join(lines) + "\n"


def _listed(items: Iterable[str]) -> str:
    *first, last = items
    return f"{', '.join(first)} and {last}"


def _shares(shares: list[float]) -> str:
    return _listed(f"{share:.0%}" for share in shares)
