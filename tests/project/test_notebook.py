"""The notebook of the pages runs, and its cells show what it says."""

import json
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import notebook
from printed import assert_same_except_last_digits

mpl.use("Agg")


def test_cells_show_what_the_notebook_says():
    cells = [cell for cell in json.loads(notebook.NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    namespace, shown = {}, []
    for cell in cells:
        outputs = notebook.run("".join(cell["source"]), namespace)
        assert [sorted(output.get("data", {})) for output in outputs] == [
            sorted(output.get("data", {})) for output in cell["outputs"]
        ]
        for output, expected in zip(outputs, cell["outputs"], strict=True):
            shown += sorted(output.get("data", ["text"]))
            text, saved = ("".join(each.get("text", [])) for each in (output, expected))
            assert_same_except_last_digits(text, saved)
    assert shown == ["text/html", "text/plain", "image/png", "image/png", "text"]


def test_a_cell_shows_its_last_line_and_figures():
    plt.figure()  # of somebody else: not a cell's
    outputs = notebook.run("print(1)\nimport matplotlib.pyplot as plt\nplt.plot([1])\n3 + 4", {})
    assert [output["output_type"] for output in outputs] == ["stream", "execute_result", "display_data"]
    assert outputs[1]["data"]["text/plain"] == ["7"]
    assert re.match(r"[A-Za-z0-9+/]{100}", outputs[2]["data"]["image/png"])
