"""The table of products for eigenvalues to an accuracy, from the committed results."""

from typing import Any


def eigenpairs(content: dict[str, Any]) -> str:
    """Return a table for each spectrum, with a row for each method."""
    origin = content["origin"]
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    lines = [f"{origin['date']}, {origin['machine']}; {versions}. {content['seeds']} seeds.", ""]
    for name, spectrum in content["spectra"].items():
        rows = []
        for label, row in spectrum["methods"].items():
            cells = [(_needed(found), _own(found, float(accuracy))) for accuracy, found in row.items()]
            rows.append([label, *(text for pair in cells for text in pair)])
        header = [f"{name}, {spectrum['size']:,}", "to 1%", "asked for 1%", "to 1e-6", "asked for 1e-6"]
        table = [header, ["---"] * len(header), *rows]
        lines += ["| " + " | ".join(line) + " |" for line in table] + [""]
    lines.append(f"A dash: not within {content['most products']:,} products with each seed.")
    return "\n".join(lines) + "\n"


def _needed(cells: dict[str, Any]) -> str:
    return _cost(cells["products"], cells["passes"])


def _own(cells: dict[str, Any], accuracy: float) -> str:
    if cells["own products"] is None:
        return "-"
    mark = "**" if cells["own error"] > accuracy else ""
    return f"{_cost(cells['own products'], cells['own passes'])}, {mark}{cells['own error']:.0e}{mark}"


def _cost(products: float | None, passes: float | None) -> str:
    if products is None or passes is None:
        return "-"
    return f"{products:,.0f}" if passes == products else f"{products:,.0f} ({passes:,.0f})"
