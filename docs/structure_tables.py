"""The table of diagonals, traces and norms: their errors over what is reported and over others, from the results."""

from typing import Any


def accuracy_of_traces(content: dict[str, Any]) -> str:
    """Return a table with a row for each matrix and accuracy."""
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    header = ["matrix", "size", "rtol", "products", "kept", "held, least layer", "held, mean", "largest z"]
    lines = [header, ["---"] * len(header)]
    for row in content["rows"]:
        counts = f"{row['products']:.0f} ({row['fewest']} to {row['most']})"
        shares = (f"{row[name]:.0%}" for name in ("kept", "held", "held on average"))
        lines.append(
            [row["matrix"], f"{row['size']:,}", f"{row['rtol']:g}", counts, *shares, f"{row['largest_z_score']:.2f}"]
        )
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{content['date']}, {content['machine']}; {versions}. {content['seeds']} seeds.\n\n{table}\n"


def structure(content: dict[str, Any]) -> str:
    """Return a table with a row for each matrix."""
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    rows: dict[tuple[str, int, int], dict[str, Any]] = {}
    for row in content["rows"]:
        rows.setdefault((row["matrix"], row["size"], row["products"]), {})[row["estimate"]] = row
    header = ["matrix", "size", "products", "diagonal", "over XDiag", "traces", "over plain", "norms", "largest z"]
    lines = [header, ["---"] * len(header)]
    for (matrix, size, products), found in rows.items():
        diagonal, traces, norms = (found[name] for name in ("diagonal", "traces of layers", "norms of blocks"))
        numbers = [
            diagonal["reported_over_actual"], diagonal["over_others"], traces["reported_over_actual"],
            traces["over_others"], norms["reported_over_actual"], max(row["largest_z_score"] for row in found.values()),
        ]  # fmt: skip
        lines.append([matrix, f"{size:,}", str(products), *(f"{number:.2f}" for number in numbers)])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{content['date']}, {content['machine']}; {versions}. {content['seeds']} seeds.\n\n{table}\n"
