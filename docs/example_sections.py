"""Makes the page of examples from their docstrings, figures and recorded numbers."""

import ast
import json
from pathlib import Path

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
# In the order of the page.
NAMES = (
    "resnet_cifar", "gpt2", "pinn", "transformer_layers", "learning_rates", "directions",
    "property_tests/test_matrix_free",
)  # fmt: skip


def sections() -> str:
    """Return a section for each example."""
    return "\n".join(_section(name) for name in NAMES)


def _section(name: str) -> str:
    docstring = ast.get_docstring(ast.parse((EXAMPLES / f"{name}.py").read_text()))
    title, command, text = docstring.split("\n\n", 2)
    link = f"[`examples/{name}.py`](https://github.com/hessdens/hessdens/blob/main/examples/{name}.py)"
    lines = "\n".join(line.strip() for line in command.splitlines())
    parts = [
        f"## {title.rstrip('.')}",
        f"```text\n{lines}\n```",
        f"{text[0].upper()}{text[1:].strip()}\n\nSource: {link}.",
    ]
    figure = DOCS / "figures" / f"examples_{name}.png"
    if figure.is_file():
        numbers = json.loads(figure.with_suffix(".json").read_text())
        origin = (
            f"*{numbers['date']}, {numbers['device']}, {numbers['threads']} threads, {numbers['seconds']:.0f} s; "
            f"{numbers['parameters']:,} parameters; torch {numbers['torch']}, hessdens {numbers['hessdens']}.*"
        )
        parts += [f"![{title}](../figures/{figure.name})", origin]
    return "\n\n".join(parts) + "\n"
