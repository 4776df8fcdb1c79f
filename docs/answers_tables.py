"""Tables of the time to an answer, from the committed results."""

from typing import Any

OURS = "hessdens"


def answers(content: dict[str, Any]) -> str:
    """Return a table for each question, with a column for each model."""
    models = content["models"]
    parts = [_origin(models)]
    for question in dict.fromkeys(name for entry in models.values() for name in entry["questions"]):
        shown = {name: entry["questions"][question] for name, entry in models.items() if question in entry["questions"]}
        goal = next(iter(shown.values()))["goal"]
        parts.append(f"**{question[0].upper()}{question[1:]}, within {goal:.0%}**\n\n{_table(shown)}")
    return "\n\n".join(parts) + "\n"


def ratio(asked: dict[str, Any]) -> float | None:
    """Return the least time of a peer that reaches the goal over ours; None where nobody else or not we reach it.

    Where no peer was seen to reach it, its time is what it would take if errors fall with the root of samples.
    """
    own = [row["seconds"] for row in asked["rows"] if row["library"] == OURS and reaches(row, asked["goal"])]
    others = [row for row in asked["rows"] if row["library"] != OURS and "failed" not in row]
    times = [row["seconds"] if reaches(row, asked["goal"]) else row.get("would_take") for row in others]
    known = [time for time in times if time is not None]
    return min(known) / min(own) if own and known else None


def reaches(row: dict[str, Any], goal: float) -> bool:
    """Whether the error of a way is within the goal."""
    return "failed" not in row and row["error"] <= goal


def _table(shown: dict[str, dict[str, Any]]) -> str:
    ways = dict.fromkeys((row["library"], row["call"]) for asked in shown.values() for row in asked["rows"])
    lines = [["library", "call", *shown], ["---"] * (2 + len(shown))]
    for library, call in ways:
        cells = []
        for asked in shown.values():
            found = [row for row in asked["rows"] if (row["library"], row["call"]) == (library, call)]
            cells.append(_cell(found[0], asked["goal"]) if found else "")
        lines.append([library, f"`{call}`" if "(" in call else call, *cells])
    ratios = [ratio(asked) for asked in shown.values()]
    lines.append(["", "best peer over hessdens", *("" if each is None else f"**{each:.2g}**" for each in ratios)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(row: dict[str, Any], goal: float) -> str:
    if "failed" in row:
        return "fails"
    products = f", m = {row['products']}" if row["products"] else ""
    if reaches(row, goal):
        return f"{row['seconds']:.2g} s ({row['error']:.1%}{products})"
    more = f", {row['would_take']:,.2g} s foreseen" if "would_take" in row else ""
    return f"*{row['seconds']:.2g} s ({row['error']:.1%}{products}){more}*"


def _origin(models: dict[str, Any]) -> str:
    first = next(iter(models.values()))
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    sizes = "; ".join(
        f"{name}: {entry['parameters']:,} parameters, {entry['examples']:,} examples, {entry['data']}"
        for name, entry in models.items()
    )
    return (
        f"{first['date']}, {first['machine']}, {first['threads']} threads; {versions}. Medians of "
        f"{first['seeds']} seeds. {sizes}."
    )
