"""Makes a page of the executed notebook: text, code, and what cells show."""

import base64
import json
from pathlib import Path

DOCS = Path(__file__).resolve().parent
NOTEBOOK = DOCS / "start" / "notebook.ipynb"


def notebook_page(out: Path) -> str:
    """Return the notebook as Markdown; its pictures are written to the folder."""
    parts = []
    for index, cell in enumerate(json.loads(NOTEBOOK.read_text())["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```{{code-block}} python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"notebook_{index}.png"
                (out / name).write_bytes(base64.b64decode(data["image/png"]))
                parts.append(f"![What the cell draws](../_generated/{name})")
            elif "text/html" in data:
                parts.append(f"```{{raw}} html\n{''.join(data['text/html'])}\n```")
            else:
                text = "".join(output.get("text", data.get("text/plain", [])))
                parts.append(f"```{{code-block}} text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"
