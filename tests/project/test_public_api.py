"""The public names of the package and its wings, as ``public_api.txt`` has them: a change is never an accident.

After a change that is meant: ``python tests/project/test_public_api.py`` writes the file anew.
"""

import ast
import difflib
import inspect
import textwrap
from pathlib import Path

import hessdens

SNAPSHOT = Path(__file__).resolve().with_name("public_api.txt")


def public_api():
    """Return a readable text: each public name, by wing, with its arguments as the source has them."""
    top = [f"# hessdens\n\n{', '.join(sorted(hessdens.__all__))}"]
    for wing in hessdens.WINGS:
        module = getattr(hessdens, wing)
        names = [described(getattr(module, name)) for name in sorted(module.__all__)]
        top.append("\n\n".join([f"# hessdens.{wing}", *names]))
    others = [name for name in sorted(hessdens.__all__) if not in_a_wing(name)]
    return "\n\n".join([*top, "# hessdens alone", *(described(getattr(hessdens, name)) for name in others)]) + "\n"


def in_a_wing(name):
    return any(name in getattr(hessdens, wing).__all__ for wing in hessdens.WINGS)


def described(value):
    name = value.__name__
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    if isinstance(node, ast.FunctionDef):
        return signature(node)
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    lines = [f"class {name}({bases})" if bases else f"class {name}"]
    for item in node.body:
        if isinstance(item, ast.AnnAssign):
            lines.append(ast.unparse(item))
        elif isinstance(item, ast.FunctionDef) and (item.name == "__init__" or not item.name.startswith("_")):
            lines += [f"@{ast.unparse(decorator)}" for decorator in item.decorator_list]
            lines.append(signature(item))
    return "\n    ".join(lines)


def signature(node):
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"def {node.name}({ast.unparse(node.args)}){returns}"


def test_public_names_and_signatures_are_those_of_the_snapshot():
    known = SNAPSHOT.read_text()
    found = public_api()
    changes = "\n".join(
        difflib.unified_diff(known.splitlines(), found.splitlines(), "known", "found", lineterm="", n=1)
    )
    assert known == found, f"the public API has changed:\n{changes}\nIf it was meant: python {Path(__file__).name}"


def test_all_has_each_name_once_and_every_public_name_of_the_package():
    names = hessdens.__all__
    assert len(names) == 16
    assert names == sorted(set(names), key=lambda name: (name[0].islower(), name))
    modules = {name for name, value in vars(hessdens).items() if inspect.ismodule(value)}
    assert set(hessdens.WINGS) <= modules
    assert {name for name in vars(hessdens) if not name.startswith("_")} - modules <= {*names, "WINGS"}
    assert sorted(dir(hessdens)) == sorted([*names, *hessdens.WINGS, "__version__"])


if __name__ == "__main__":
    SNAPSHOT.write_text(public_api())
