"""Change the code of the numeric wings at random places, and count the changes that each module's own test notices.

    python scripts/mutants.py [paths ...] [--sample 300] [--seed 0] [--again]

A mutant has one change in the body of a function: an operator, a comparison, a sign, or a constant (number or truth
value). Defaults, tables and tuning constants, annotations, messages and what ``raise`` says stay. cosmic-ray makes the
change in a copy of the sources; ``tests/<wing>/test_<module>.py`` alone must notice it, with Hypothesis' examples of
continuous integration, not shrunk. A test that runs ten times as long as usual counts as one that noticed.

Outcomes are kept as they come, so that a run goes on where it was stopped. ``--again`` tests survivors anew.
``scripts/equivalent_mutants.toml`` lists those that no test can notice, with the reason.
"""

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from compileall import compile_dir
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any, NamedTuple

import numba  # noqa: F401
import pytest
import scipy.stats  # noqa: F401
import torch.distributed.fsdp  # noqa: F401
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator
from cosmic_ray.util import restore_contents

# Each test runs in a fork of this process, so that what takes long to import, above, is imported once.
FORK = multiprocessing.get_context("fork")
ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "benchmarks/results/mutants.json"
EQUIVALENT = ROOT / "scripts/equivalent_mutants.toml"
WINGS = ("results", "densities", "mixture", "linalg", "estimators", "curvature")
COPIED = ("hessdens", "tests", "examples", "scripts", "pyproject.toml")
# The nearest replacements: those of other kinds (``>>`` for ``+``) fail at once, and say little of a test.
BINARY = "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_Mul Pow_Mul BitAnd_BitOr BitOr_BitAnd BitXor_BitAnd"
COMPARISON = "Eq_NotEq NotEq_Eq Lt_LtE Lt_Gt LtE_Lt LtE_GtE Gt_GtE Gt_Lt GtE_Gt GtE_LtE Is_IsNot IsNot_Is"
OTHER = "ReplaceAndWithOr ReplaceOrWithAnd ReplaceTrueWithFalse ReplaceFalseWithTrue NumberReplacer"
NAMES = (
    *(f"ReplaceBinaryOperator_{name}" for name in BINARY.split()),
    *(f"ReplaceComparisonOperator_{name}" for name in COMPARISON.split()),
    *(f"ReplaceUnaryOperator_Delete_{name}" for name in ("USub", "Not", "Invert")),
    *OTHER.split(),
)
EXCLUDED = {"param", "parameters", "decorator", "fstring", "raise_stmt", "assert_stmt"}


class AugmentedAssignment(Operator):
    """Replaces ``+=`` and its like, which cosmic-ray leaves alone."""

    REPLACEMENTS = {"+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "//=": "*=", "|=": "&=", "&=": "|="}  # noqa: RUF012

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Yield the place of the operator, where the node is one."""
        if node.type == "operator" and node.value in self.REPLACEMENTS:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Replace the operator."""
        node.value = self.REPLACEMENTS[node.value]
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Return what cosmic-ray asks of an operator: code before and after."""
        return (Example("x += y", "x -= y"),)


OPERATORS = [*(get_operator(f"core/{name}")() for name in NAMES), AugmentedAssignment()]


class Mutant(NamedTuple):
    """One change: what makes it, in which function of which module, and where among the places that it could change."""

    module: str
    source: str
    function: str
    operator: Operator
    occurrence: int

    @property
    def code(self) -> str:
        """The module's code with the change."""
        return mutate_code(self.source, self.operator, self.occurrence)

    @property
    def name(self) -> str:
        """Module, function, and the line before and after."""
        pairs = zip(self.source.splitlines(), self.code.splitlines(), strict=True)
        before, after = next((before.strip(), after.strip()) for before, after in pairs if before != after)
        return f"{self.module} {self.function}: {before} → {after}"


def mutants_of(module: str) -> dict[Any, list[Mutant]]:
    """Return the mutants of a module by the place that they change."""
    places = defaultdict(list)
    source = (ROOT / module).read_text()
    nodes = [*ast_nodes(get_ast(source))]
    for operator in OPERATORS:
        positions = ((node, at) for node in nodes for at in operator.mutation_positions(node))
        for occurrence, (node, at) in enumerate(positions):
            if is_code(node):
                places[module, at].append(
                    Mutant(module, source, ASTQuery(node).get_definition_name(), operator, occurrence)
                )
    return places


def is_code(node: Any) -> bool:
    """Tell whether a node stands in the body of a function, and is neither default, annotation nor message."""
    inside = False
    while node.parent is not None:
        parent = node.parent
        if parent.type in EXCLUDED or (parent.type == "annassign" and node is parent.children[1]):
            return False
        if parent.type == "funcdef":
            if node is not parent.children[-1]:
                return False
            inside = True
        node = parent
    return inside


def modules_of(paths: list[Path]) -> list[str]:
    """Return the modules among files and folders."""
    found = {file.resolve() for path in paths for file in [path, *path.rglob("*.py")] if file.suffix == ".py"}
    return sorted(file.relative_to(ROOT).as_posix() for file in found if file.name != "__init__.py")


def drawn(modules: list[str], sample: int, seed: int) -> list[Mutant]:
    """Return mutants at random places, each with one of its replacements; more of them begin with the same ones."""
    places = {place: mutants for module in modules for place, mutants in mutants_of(module).items()}
    rng = random.Random(seed)
    order = sorted(places)
    rng.shuffle(order)
    return [rng.choice(places[place]) for place in order[:sample]]


def survivors(modules: list[str], kept: dict[str, Any]) -> list[Mutant]:
    """Return the mutants that no test has noticed and that are not listed; those without their line are marked."""
    names = {name for name, mutant in kept.items() if mutant["outcome"] == "survived" and name.split()[0] in modules}
    places = {name.partition(": ")[0] for name in names}  # module and function
    found = [mutant for module in modules for place in mutants_of(module).values() for mutant in place]
    found = [each for each in found if f"{each.module} {each.function}" in places and each.name in names]
    for name in names - {mutant.name for mutant in found}:
        kept[name]["outcome"] = "rewritten"
    return [each for each in found if each.name not in listed()]


def listed() -> dict[str, str]:
    """Return the mutants that no test can notice, with the reason."""
    return tomllib.loads(EQUIVALENT.read_text())


def test_of(module: str) -> str:
    """Return the test that is a module's own."""
    path = Path(module).relative_to("hessdens")
    return (Path("tests") / path.parent / f"test_{path.name.lstrip('_')}").as_posix()


def _run_test(folder: Path, test: str) -> None:
    """Run a test in this process, which ends with it."""
    os.setsid()  # so that what the test starts can be ended with it
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutants", test]))


class Runner:
    """Runs tests in a copy of the sources, where modules are changed and restored."""

    def __init__(self, folder: Path, seconds: dict[str, float]):
        self.folder, self.seconds = folder, seconds
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        for cache in [*folder.rglob("__pycache__")]:
            shutil.rmtree(cache)
        # Times of files are too coarse to tell a module from its mutant of the same size.
        compile_dir(folder, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        os.environ |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}

    def run(self, module: str, code: str, limit: float) -> tuple[str, str]:
        """Return the outcome and the test that noticed, with ``code`` in place of the module's."""
        path = self.folder / module
        # Kernels are kept by the time of their file; a folder of its own leaves no doubt.
        kernels = tempfile.mkdtemp(dir=self.folder) if "njit" in code else self.folder / "kernels"
        os.environ["NUMBA_CACHE_DIR"] = str(kernels)
        with restore_contents(path):
            path.write_text(code)
            process = FORK.Process(target=_run_test, args=(self.folder, test_of(module)))
            process.start()
            process.join(limit)
            if process.is_alive():
                os.killpg(process.pid, signal.SIGKILL)
                process.join()
                return "noticed", "time limit"
        failed = re.search(
            r"^(?:FAILED|ERROR) (?:tests/)?(.+?)(?: - |$)", (self.folder / "log").read_text(), re.MULTILINE
        )
        return "noticed" if process.exitcode else "survived", failed[1] if failed else ""

    def limit(self, module: str) -> float:
        """Return ten times the seconds of a module's test, which must pass as the code is."""
        if module not in self.seconds:
            start = time.monotonic()
            outcome, failed = self.run(module, (self.folder / module).read_text(), 3600.0)
            if outcome != "survived":
                raise SystemExit(f"{test_of(module)} fails without a change: {failed}")
            self.seconds[module] = round(time.monotonic() - start, 1)
        return 10 * self.seconds[module]


def save(path: Path, content: dict[str, Any]) -> None:
    """Write outcomes as JSON."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def report(mutants: dict[str, Any]) -> None:
    """Print survivors, and for each wing what was noticed at first and now, is equivalent, or was rewritten."""
    equivalent = listed()
    wings: dict[str, list[int]] = {}
    for name, mutant in mutants.items():
        first, now = mutant["first"], mutant["outcome"]
        same = now == "survived" and name in equivalent
        if now == "survived" and not same:
            print("survived:", name)
        if now == "noticed" and name in equivalent:
            print("listed as equivalent, but noticed:", name)
        numbers = wings.setdefault(name.split("/")[1], [0] * 5)
        for index, one in enumerate((True, first == "noticed", now == "noticed", same, now == "rewritten")):
            numbers[index] += one
    wings["all"] = [sum(numbers) for numbers in zip(*wings.values(), strict=True)]
    print(f"{'wing':<12}{'mutants':>8}{'noticed at first':>18}{'now':>6}{'equivalent':>12}{'rewritten':>11}")
    for wing, (count, first, now, same, gone) in wings.items():
        print(f"{wing:<12}{count:>8}{first:>18}{now:>6}{same:>12}{gone:>11}")


def main() -> None:
    """Draw mutants, or take up the survivors, test each, and keep its outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / "hessdens" / wing for wing in WINGS])
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    modules = modules_of(options.paths)
    content = json.loads(options.output.read_text()) if options.output.exists() else {"seconds": {}, "mutants": {}}
    kept = content["mutants"]
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Path(folder), content["seconds"])
        if options.again:
            mutants = survivors(modules, kept)
        else:
            mutants = [mutant for mutant in drawn(modules, options.sample, options.seed) if mutant.name not in kept]
            content |= {"cosmic-ray": importlib.metadata.version("cosmic-ray"), "seed": options.seed}
        for mutant in mutants:
            outcome, by = runner.run(mutant.module, mutant.code, runner.limit(mutant.module))
            first = kept.get(mutant.name, {}).get("first", outcome)
            kept[mutant.name] = {"first": first, "outcome": outcome, "by": by}
            save(options.output, content)
            print(outcome, mutant.name, by, sep="  ", flush=True)
        save(options.output, content)
    report(kept)


if __name__ == "__main__":
    main()
