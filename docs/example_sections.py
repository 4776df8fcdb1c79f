"""Makes the gallery from the examples' docstrings, decisive lines, figures and recorded numbers."""

import ast
import json
import re
import textwrap
from pathlib import Path

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
PAGES = DOCS / "gallery" / "examples"
# In the order of the gallery.
NAMES = (
    "resnet_cifar", "gpt2", "pinn", "transformer_layers", "block_structure", "learning_rates", "directions",
    "property_tests/test_matrix_free",
)  # fmt: skip
DECISIVE = re.compile(r"^ *# \[decisive lines\]\n(.*?)^ *# \[end\]\n", re.DOTALL | re.MULTILINE)


def write_gallery() -> None:
    """Write a page for each example."""
    PAGES.mkdir(exist_ok=True)
    for name in NAMES:
        (PAGES / f"{stem(name)}.md").write_text(page(name))


def cards() -> str:
    """Return the thumbnails of all examples, each a link to its page."""
    parts = [_card(name) for name in NAMES]
    contents = "\n".join(f"examples/{stem(name)}" for name in NAMES)
    grid = "::::{grid} 1 2 2 2\n:gutter: 2\n\n" + "\n".join(parts) + "::::\n"
    return f"{grid}\n```{{toctree}}\n:hidden:\n\n{contents}\n```\n"


def stem(name: str) -> str:
    """Return the name of an example's page and figure."""
    return name.rpartition("/")[2]


def page(name: str) -> str:
    """Return the page of an example: what it is for, its picture, its decisive lines, its run time."""
    source, (title, command, text) = _source(name), _parts(name)
    text, _, caption = text.partition("\n\nFigure: ")
    link = f"[`examples/{name}.py`](https://github.com/hessdens/hessdens/blob/main/examples/{name}.py)"
    head, _, about = title.rstrip(".").partition(": ")
    parts = [f"# {head}", *([f"{about[0].upper()}{about[1:]}."] if about else [])]
    figure = _figure(name)
    if figure is not None:
        parts += [f"![{title}](../../figures/{figure.name})", f"*{caption[0].upper()}{caption[1:]}*"]
    parts.append(f"{text[0].upper()}{text[1:].strip()}")
    if decisive := DECISIVE.search(source):
        parts += ["The decisive lines:", f"```{{code-block}} python\n{textwrap.dedent(decisive[1]).strip()}\n```"]
    lines = "\n".join(line.strip() for line in command.splitlines())
    parts += [f"```{{code-block}} text\n{lines}\n```", f"Source: {link}."]
    if figure is not None:
        numbers = json.loads(figure.with_suffix(".json").read_text())
        parts.append(
            f"*It ran for {numbers['seconds']:.0f} s on {numbers['device']} with {numbers['threads']} threads, on "
            f"{numbers['date']}; {numbers['parameters']:,} parameters; torch {numbers['torch']}, hessdens "
            f"{numbers['hessdens']}.*"
        )
    return "\n\n".join(parts) + "\n"


def _card(name: str) -> str:
    title, _, text = _parts(name)
    figure = _figure(name)
    picture = f":img-top: ../figures/{figure.name}\n" if figure is not None else ""
    head = (
        f":::{{grid-item-card}} {title.partition(':')[0].rstrip('.')}\n:link: examples/{stem(name)}\n:link-type: doc\n"
    )
    return f"{head}{picture}\n{_first_sentence(text)}\n:::\n"


def _first_sentence(text: str) -> str:
    """Return the first sentence of a text after the words on how long it takes."""
    text = re.sub(r"^takes [^.]*\. ", "", " ".join(text.split()))
    return re.split(r"(?<=[.!?]) ", text)[0]


def _source(name: str) -> str:
    return (EXAMPLES / f"{name}.py").read_text()


def _parts(name: str) -> tuple[str, str, str]:
    docstring = ast.get_docstring(ast.parse(_source(name))) or ""
    title, command, text = docstring.split("\n\n", 2)
    return title, command, text


def _figure(name: str) -> Path | None:
    figure = DOCS / "figures" / f"examples_{name}.png"
    return figure if figure.is_file() else None
