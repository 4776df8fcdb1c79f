"""The house is as docs/design.md says: which wing imports which, how large rooms are, and a test for each."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import wings
from wings import FOUNDATION, MODULES, PACKAGE, imported, own_imports

import hessdens

TESTS = Path(__file__).resolve().parents[1]
# Modules that hold results, in all wings.
OF_RESULTS = {
    "results",
    "densities",
    "mixture",
    "eigenvectors.descriptions",
    "eigenvectors.slices",
    "monitor.history",
    "structure.halves",
}
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
    "eigenvectors": {"results", "densities", "linalg", "curvature", "estimators", "structure.parts"},
    "structure": {"results", "densities", "linalg", "curvature", "curvature.engines", "estimators"},
    "distributed": {"linalg", "curvature", "curvature.engines"},
    "multilevel": {"results", "linalg", "curvature", "estimators", "structure", "distributed"},
    "monitor": {"results", "densities", "linalg", "curvature", "estimators"},
    "plotting": OF_RESULTS,
    "loading": {*OF_RESULTS, "structure.gauss_newton.low_rank"},
    "reference": set(),
    "testing": {"results", "densities", "reference"},
    "cli": {
        "results",
        "densities",
        "mixture",
        "linalg",
        "curvature",
        "estimators",
        "eigenvectors",
        "structure",
        "monitor",
        "plotting",
        "loading",
        "reference",
    },
    "__main__": {"cli"},
}
WITHOUT_TORCH = ("results", "densities", "mixture")
# Imports inside functions: libraries that take long to import, where a function alone needs them.
IN_FUNCTIONS = {"matplotlib", "hessdens.mixture.grid_search", "torch.distributed.fsdp", "torch.distributed.tensor"}


def path_of(module):
    return PACKAGE / (module.replace(".", "/") + ".py")


def wing_of(module):
    """Return the wing that a module stands in."""
    if module.split(".")[0] in FOUNDATION:
        return "foundation"
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[:2] == ["curvature", "engines"] else parts[0]


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
            assert not {name for name in imported(MODULES[module]) if name.split(".")[0] == "torch"}, module
    assert {wing_of(module) for module in seen} == {*WITHOUT_TORCH, "foundation"}


def test_no_import_hides_in_a_function():
    for module, tree in MODULES.items():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                hidden = set(imported(function))
                assert all(name.split(".")[0] in IN_FUNCTIONS or name in IN_FUNCTIONS for name in hidden), (
                    f"{module}.{function.name} imports {hidden}"
                )


def test_imports_are_absolute():
    for module, tree in MODULES.items():
        assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)), module


def test_picture_of_the_wings_is_current():
    assert wings.graph_of_figure() == wings.graph(), "python scripts/wings.py draws docs/figures/wings.svg anew"


def test_picture_leaves_out_arrows_that_follow_from_others():
    imports = {"top": ["left", "right", "ground"], "left": ["ground"], "right": [], "ground": []}
    assert wings.floors(imports) == {"top": 2, "left": 1, "right": 0, "ground": 0}
    assert wings.arrows(imports) == [("top", "left"), ("top", "right"), ("left", "ground")]


def test_design_has_a_line_for_each_wing():
    design = (TESTS.parent / "docs/design.md").read_text()
    for wing in hessdens.WINGS:
        assert design.count(f"| `{wing}` |") == 1, wing


FOLDERS = sorted({path.parent for path in PACKAGE.rglob("*.py")})


def test_no_wing_is_crowded():
    sizes = {folder.name: len({*folder.glob("*.py")} - {folder / "__init__.py"}) for folder in FOLDERS}
    assert {wing: size for wing, size in sizes.items() if size > 13} == {}


def test_no_module_is_long():
    lines = {module: len(path_of(module).read_text().splitlines()) for module in MODULES}
    assert {module: size for module, size in lines.items() if size > 320} == {}


def test_no_function_is_long():
    lines = {
        f"{module}.{node.name}": length_of_body(node)
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {function: size for function, size in lines.items() if size > 50} == {}


def length_of_body(function):
    """Return the lines of a function without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_top_level_has_sixteen_names():
    assert len(hessdens.__all__) == 16


def test_each_module_has_a_test_of_its_own():
    """Modules that define no function and no class have nothing to test."""
    for module, tree in MODULES.items():
        path = path_of(module).relative_to(PACKAGE)
        if any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body):
            assert (TESTS / path.parent / f"test_{path.name.lstrip('_')}").exists(), module


def test_each_test_of_a_wing_has_its_module():
    for folder in FOLDERS:
        for test in (TESTS / folder.relative_to(PACKAGE)).glob("test_*.py"):
            name = test.name.removeprefix("test_")
            assert (folder / name).exists() or (folder / f"_{name}").exists(), test
