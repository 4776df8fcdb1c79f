"""Links each public name in prose and docstrings to its page in the reference."""

import importlib
import inspect
import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

import hessdens

# A name, perhaps with the wing it is imported from, a member, and a call.
NAME = re.compile(r"^(?:hessdens\.)?(?:[a-z_]{2,}\.)*([A-Za-z_]\w+)(?:\.(\w+))?(?:\(.*\))?$", re.DOTALL)
# Words that are also public names, but mostly stand for an argument or a column.
WORDS = {"start", "part", "trace", "main", "compare"}
ROLE = "name"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the links."""
    app.add_role(ROLE, lambda role, raw, text, *rest: ([nodes.literal(text, text)], []))
    app.add_transform(Links)
    app.connect("autodoc-process-docstring", _escape_bars)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _escape_bars(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Escape bars outside of code: in docstrings they are absolute values, never substitutions."""
    is_example = False  # up to the next empty line
    for index, line in enumerate(lines):
        parts = line.split("`")  # every second part is code
        is_example = bool(line.strip()) and (is_example or line.lstrip().startswith(">>>"))
        if not is_example:
            lines[index] = "`".join(p.replace("|", r"\|") if i % 2 == 0 else p for i, p in enumerate(parts))


def public_names() -> dict[str, str]:
    """Return the full name of each public name, as the reference has it: the top level first, else the wing."""
    found = {name: f"hessdens.{name}" for name in hessdens.__all__}
    for wing in (*hessdens.WINGS, "testing", "errors", "distributed.traffic"):
        module = importlib.import_module(f"hessdens.{wing}")
        names = getattr(module, "__all__", None) or [n for n, v in vars(module).items() if inspect.isclass(v)]
        for name in names:
            if not name.startswith("_"):
                found.setdefault(name, f"hessdens.{wing}.{name}")
    return found


PUBLIC = public_names()


class Links(SphinxTransform):
    """Turns code in prose that is a public name into a reference to it."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        """Replace literals in place."""
        for literal in list(self.document.findall(nodes.literal)):
            target = _target(literal.astext())
            if target is None or _is_linked(literal):
                continue
            reference = addnodes.pending_xref(
                "", literal.deepcopy(), refdomain="py", reftype="obj", reftarget=target, refexplicit=True,
                refdoc=self.env.docname, refwarn=False,
            )  # fmt: skip
            literal.replace_self(reference)


def _target(text: str) -> str | None:
    """Return the full name that a piece of code begins with, if it is public."""
    match = NAME.match(text.strip())
    if match is None:
        return None
    first, member = match.groups()
    if member in PUBLIC:
        first, member = member, None
    if first not in PUBLIC or (first in WORDS and not text.endswith(")") and "." not in text):
        return None
    full = PUBLIC[first]
    value = getattr(importlib.import_module(full.rpartition(".")[0]), first)
    return f"{full}.{member}" if member is not None and hasattr(value, member) else full


def _is_linked(node: nodes.Node) -> bool:
    parent = node.parent
    while parent is not None:
        if isinstance(parent, nodes.reference | addnodes.pending_xref | nodes.title | addnodes.desc_signature):
            return True
        parent = parent.parent
    return False
