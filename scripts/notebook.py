"""Executes the notebook of the pages, and keeps what its cells show: python scripts/notebook.py.

The notebook is plain JSON. Cells run here one after the other, in one namespace, as Jupyter runs them: what is printed,
the value of the last line, as HTML where it has that, and figures that are left open.
"""

import ast
import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "start" / "notebook.ipynb"


def run(source: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell and return its outputs, as a notebook has them."""
    import matplotlib.pyplot as plt

    plt.close("all")
    tree, printed, outputs = ast.parse(source), io.StringIO(), []
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), namespace)
        value = None if last is None else eval(compile(last, "<cell>", "eval"), namespace)
    if printed.getvalue():
        outputs.append(
            {"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)}
        )
    if value is not None:
        data = {"text/plain": [repr(value)]}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = [value._repr_html_()]
        outputs.append({"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": data})
    for number in plt.get_fignums():
        content = io.BytesIO()
        plt.figure(number).savefig(content, format="png", dpi=100)
        picture = base64.b64encode(content.getvalue()).decode()
        outputs.append({"output_type": "display_data", "metadata": {}, "data": {"image/png": picture}})
    plt.close("all")
    return outputs


def main() -> None:
    """Run all cells."""
    mpl.use("Agg")
    content = json.loads(NOTEBOOK.read_text())
    namespace: dict[str, Any] = {}
    for count, cell in enumerate((c for c in content["cells"] if c["cell_type"] == "code"), start=1):
        cell["outputs"], cell["execution_count"] = run("".join(cell["source"]), namespace), count
        for output in cell["outputs"]:
            if "execution_count" in output:
                output["execution_count"] = count
    NOTEBOOK.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
