"""Tables of the agreement with other libraries, from the committed results."""

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "peers_agreement.json"
LIBRARIES = ("hessdens", "PyHessian", "hessian-eigenthings", "curvlinops")


def agreement() -> str:
    """Return the tables of products, eigenvalues and traces."""
    content = json.loads(RESULTS.read_text())
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    cells = [
        [f"{matrix}, {case}", *(f"{found[name]:.0e}" if name in found else "none" for name in LIBRARIES)]
        for case, by_matrix in content["products"].items()
        for matrix, found in by_matrix.items()
    ]
    eigenvalues = [
        [row["library"], f"`{row['call']}`", f"{row['difference']:.0e}", f"{row['products']:,}"]
        for row in content["eigenvalues"]
    ]
    traces = [
        [row["library"], f"`{row['call']}`", f"{row['error']:.2%}", f"{row['products']:.0f}"]
        for row in content["trace"]
    ]
    return "\n".join(
        [
            f"{content['date']}, {content['machine']}; {versions}. {content['parameters']:,} parameters, "
            f"{content['examples']:,} examples.\n",
            "Products, largest relative difference from those with dense matrices made by `torch.func`:\n",
            _table(["matrix and data", *LIBRARIES], cells),
            "The five largest eigenvalues, largest relative difference from those of the dense Hessian:\n",
            _table(["", "call", "difference", "products"], eigenvalues),
            f"Trace, root mean square of the relative error over {content['seeds']} seeds:\n",
            _table(["", "call", "error", "products"], traces),
            f"`density` of PyHessian with this torch: `{content['density of PyHessian']}`.\n",
        ]
    )


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
