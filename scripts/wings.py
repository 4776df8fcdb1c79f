"""Draw which wing of hessdens imports which, from the source: ``python scripts/wings.py`` writes the figure anew.

Arrows that follow from others are left out: where A imports B and B imports C, A may import C too. Modules that stand
in no wing are left out as well.
"""

import ast
import json
import textwrap
from graphlib import TopologicalSorter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hessdens"
FIGURE = ROOT / "docs/figures/wings.svg"
# Modules that every wing may import. They import none.
FOUNDATION = ("_calls", "_checks", "_threads", "_torch", "_types", "_version", "errors")
NUMPY, TORCH = "#dbe9f6", "#fbe3d1"
WIDTH, HEIGHT = 2.8, 0.85  # of a box, in inches
COLUMN, FLOOR = 3.7, 1.25  # from one box to the next, sideways and upwards


def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of each module but the package itself, by name without the package's."""
    paths = (path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py")
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text()) for path in paths}


MODULES = modules()


def imported(tree: ast.AST) -> list[str]:
    """Return the full names of the modules that a tree imports."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [name if _is_module(name) else node.module or "" for name in full]
    return names


def _is_module(name: str) -> bool:
    own = name.removeprefix("hessdens.")
    return own in MODULES or f"{own}.__init__" in MODULES


def own_imports(module: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    names = {name.removeprefix("hessdens.") for name in imported(MODULES[module]) if name.startswith("hessdens.")}
    return {f"{name}.__init__" if f"{name}.__init__" in MODULES else name for name in names}


def reaches_torch(module: str) -> bool:
    """Tell whether a module imports torch, itself or through others of the package."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo += own_imports(current)
            if any(name.split(".")[0] == "torch" for name in imported(MODULES[current])):
                return True
    return False


def graph() -> dict[str, dict[str, object]]:
    """Return for each wing its sentence, what it imports, and whether it needs torch."""
    names = [module.removesuffix(".__init__") for module in MODULES if module.count(".") == 1 and "__init__" in module]
    wings = {wing: [module for module in MODULES if module.startswith(f"{wing}.")] for wing in names}
    result: dict[str, dict[str, object]] = {}
    for wing, members in wings.items():
        others = {other.split(".")[0] for member in members for other in own_imports(member)}
        result[wing] = {
            "sentence": (ast.get_docstring(MODULES[f"{wing}.__init__"]) or "").splitlines()[0].replace("`", ""),
            "imports": sorted(others & wings.keys() - {wing}),
            "torch": any(reaches_torch(member) for member in members),
        }
    return result


def floors(imports: dict[str, list[str]]) -> dict[str, int]:
    """Return how high each wing stands: one above the highest that it imports."""
    height: dict[str, int] = {}
    for wing in TopologicalSorter(imports).static_order():
        height[wing] = max((height[other] + 1 for other in imports[wing]), default=0)
    return height


def arrows(imports: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Return pairs of wings of which the first imports the second, without those that follow from others."""
    below: dict[str, set[str]] = {}
    for wing in TopologicalSorter(imports).static_order():
        below[wing] = set(imports[wing]).union(*(below[other] for other in imports[wing]))
    return [
        (wing, other)
        for wing, others in imports.items()
        for other in others
        if not any(other in below[between] for between in others)
    ]


def draw(wings: dict[str, dict[str, object]], path: Path) -> None:
    """Draw the wings in floors, with an arrow down to each that is imported; the figure carries the graph as text."""
    import matplotlib as mpl
    import numpy as np

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    imports = {wing: list(about["imports"]) for wing, about in wings.items()}  # type: ignore[call-overload]
    height = floors(imports)
    place = places(wings, height)
    low, high = min(x for x, _ in place.values()) - WIDTH / 2, max(x for x, _ in place.values()) + WIDTH / 2
    top = max(y for _, y in place.values()) + HEIGHT / 2
    size = (high - low + 0.2, top + FLOOR + HEIGHT / 2 + 0.4)
    with mpl.rc_context({"svg.hashsalt": "wings", "font.size": 11}):
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        axes.set(xlim=(low - 0.1, high + 0.1), ylim=(-FLOOR - HEIGHT / 2 - 0.1, top + 0.3), aspect="equal")
        axes.axis("off")
        for wing, other in arrows(imports):
            (x, y), (to_x, to_y) = place[wing], place[other]
            aside = np.sign(to_x - x) * (WIDTH / 2 - 0.25)  # from corner to corner, so that it passes other boxes
            axes.annotate(
                "",
                (to_x - aside, to_y + HEIGHT / 2),
                (x + aside, y - HEIGHT / 2),
                arrowprops={"arrowstyle": "-|>", "color": "0.35", "shrinkA": 0, "shrinkB": 0},
            )
        for wing, (x, y) in place.items():
            _box(axes, x, y, WIDTH, wing, str(wings[wing]["sentence"]), TORCH if wings[wing]["torch"] else NUMPY)
        sentence = "checks of arguments, types, version, errors: every wing may import them"
        _box(axes, (low + high) / 2, -FLOOR, high - low, "foundation", sentence, "0.93")
        for x, color, text in ((low, NUMPY, "no torch"), (low + 1.4, TORCH, "needs torch")):
            axes.text(x, top + 0.2, text, va="center", bbox={"facecolor": color, "edgecolor": "none", "pad": 4})
        figure.savefig(path, metadata={"Description": json.dumps(wings), "Date": None})
        plt.close(figure)


def _box(axes, x, y, width, title, sentence, color) -> None:  # type: ignore[no-untyped-def]
    from matplotlib.patches import FancyBboxPatch

    corner = (x - width / 2, y - HEIGHT / 2)
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch(corner, width, HEIGHT, boxstyle=style, facecolor=color, edgecolor="0.5"))
    lines = textwrap.wrap(sentence, round(13.5 * width))
    axes.text(x, y + 0.27, title, ha="center", va="center", weight="bold")
    axes.text(x, y - 0.1, "\n".join(lines), ha="center", va="center", size=9, linespacing=1.1)


def places(wings: dict[str, dict[str, object]], height: dict[str, int]) -> dict[str, tuple[float, float]]:
    """Return the centre of each box: NumPy wings at the left; in a floor, what others import most comes first."""
    users = [str(other) for about in wings.values() for other in about["imports"]]  # type: ignore[attr-defined]
    columns: dict[int, list[str]] = {floor: [] for floor in height.values()}
    for wing in sorted(wings, key=lambda wing: (wings[wing]["torch"], -users.count(wing), wing)):
        row = columns[height[wing]]
        row += [""] * (bool(wings[wing]["torch"]) and not row)  # torch begins in the second column
        row.append(wing)
    return {
        wing: (COLUMN * column, FLOOR * floor)
        for floor, row in columns.items()
        for column, wing in enumerate(row)
        if wing
    }


def graph_of_figure(path: Path = FIGURE) -> dict[str, dict[str, object]]:
    """Return the graph that a figure was drawn from."""
    (description,) = ElementTree.parse(path).iter("{http://purl.org/dc/elements/1.1/}description")
    result: dict[str, dict[str, object]] = json.loads(description.text or "")
    return result


if __name__ == "__main__":
    draw(graph(), FIGURE)
