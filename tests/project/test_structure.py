"""The house is as docs/design.md says: which wing imports which, how large rooms are, and a test for each."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "hessdens"
FOUNDATION = {"_checks", "_types", "_version", "errors"}
# What each wing may import besides itself and the foundation: only what stands below it.
MAY_IMPORT = {
    "foundation": set(),
    "results": set(),
    "densities": {"results"},
    "mixture": {"results", "densities"},
    "linalg": {"results.support"},
    "curvature.engines": {"linalg", "curvature.containers"},
    "curvature": {"linalg", "curvature.engines"},
    "estimators": {"results", "densities", "linalg", "curvature.parameters"},
    "distributed": {"linalg", "curvature", "curvature.engines"},
    "monitor": {"results", "densities", "linalg", "curvature", "estimators"},
    "plotting": {"results", "densities", "mixture", "monitor.history"},
    "loading": {"results", "densities", "mixture", "monitor.history"},
    "testing": {"results", "densities"},
    "cli": {"results", "densities", "mixture", "linalg", "curvature", "estimators", "monitor", "plotting", "loading"},
    "__main__": {"cli"},
}
WITHOUT_TORCH = ("results", "densities", "mixture")
# Imports inside functions: libraries that take long to import, where a function alone needs them.
IN_FUNCTIONS = {"matplotlib", "hessdens.mixture.grid_search"}


def modules():
    """Return the source tree of each module but the package itself, by name without the package's."""
    paths = (path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py")
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text()) for path in paths}


MODULES = modules()


def wing_of(module):
    """Return the wing that a module stands in."""
    if module.split(".")[0] in FOUNDATION:
        return "foundation"
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[:2] == ["curvature", "engines"] else parts[0]


def imported(tree):
    """Return what a tree imports, by full name, with the node."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(name if is_module(name) else node.module, node) for name in names]
    return found


def is_module(name):
    own = name.removeprefix("hessdens.")
    return own in MODULES or f"{own}.__init__" in MODULES


def own_imports(module):
    """Return the modules of the package that a module imports."""
    names = {name.removeprefix("hessdens.") for name, _ in imported(MODULES[module]) if name.startswith("hessdens.")}
    return {f"{name}.__init__" if f"{name}.__init__" in MODULES else name for name in names}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_down(module):
    wing = wing_of(module)
    allowed = {wing, "foundation", *MAY_IMPORT[wing]}
    if module == f"{wing}.__init__":
        return  # it hands on names of its own wing, and of what these import
    for other in own_imports(module):
        name = other.removesuffix(".__init__")
        assert wing_of(other) in allowed or name in allowed, f"hessdens/{module} imports {other}"


def test_wings_hand_on_names_of_their_own():
    for module in MODULES:
        if module.endswith(".__init__") and module not in ("distributed.__init__",):
            wing = module.removesuffix(".__init__")
            assert {wing_of(other) for other in own_imports(module)} <= {wing, f"{wing}.engines"}, module


def test_there_is_no_circle():
    order = TopologicalSorter({module: own_imports(module) for module in MODULES}).static_order()
    assert len(list(order)) == len(MODULES)


def test_numpy_wings_never_reach_torch():
    seen, todo = set(), [module for module in MODULES if wing_of(module) in WITHOUT_TORCH]
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += own_imports(module)
            assert not {name for name, _ in imported(MODULES[module]) if name.split(".")[0] == "torch"}, module
    assert {wing_of(module) for module in seen} == {*WITHOUT_TORCH, "foundation"}


def test_no_import_hides_in_a_function():
    for module, tree in MODULES.items():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                hidden = {name for name, _ in imported(function)}
                assert all(name.split(".")[0] in IN_FUNCTIONS or name in IN_FUNCTIONS for name in hidden), (
                    f"{module}.{function.name} imports {hidden}"
                )
