"""Tables of the agreement with other libraries, from the committed results."""

import json
from collections import Counter
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
LIBRARIES = ("hessdens", "PyHessian", "hessian-eigenthings", "curvlinops")


def agreement() -> str:
    """Return the tables of products, eigenvalues and traces."""
    content = json.loads((RESULTS / "peers_agreement.json").read_text())
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


# Where conventions differ, as docs/start/coming_from.md says under curvlinops.
DIFFERENCES = {
    "sum": "a sum is refused; times the number of terms",
    "entries": "empirical Fisher of entries; times the outputs",
    "rows": "rows of several predictions; outputs flattened",
}


def agreement_by_case() -> str:
    """Return the table of curvlinops' own cases: checks that agree as they are or by a known difference."""
    content = json.loads((RESULTS / "curvlinops_cases.json").read_text())
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    cases = content["cases"]
    rows = []
    for matrix in dict.fromkeys(case["matrix"] for case in cases):
        own = [case for case in cases if case["matrix"] == matrix]
        agreeing = [(case["checks"] - case["disagreeing"], bool(case["how"])) for case in own]
        plain, known = (sum(number for number, is_known in agreeing if is_known == each) for each in (False, True))
        total = sum(case["checks"] for case in own)
        counts = (total, plain, known, total - plain - known)
        rows.append([matrix, *map(str, counts), f"{max(case['largest_difference'] for case in own):.0e}"])
    uses: Counter[str] = Counter()
    for case in cases:
        uses.update(dict.fromkeys(case["how"], case["checks"]))
    number = len({case["case"] for case in cases})
    total = sum(case["checks"] for case in cases)
    header = ["matrix", "checks", "agree as they are", "by a known difference", "disagree", "largest difference"]
    return "\n".join(
        [
            f"{content['date']}, {content['machine']}; {versions}. {number} cases, {total} checks. Agreement is "
            f"to {content['tolerance']:.0e} of the largest entry, in float64.\n",
            _table(header, rows),
            "Known differences, and in how many checks:\n",
            _table(["", "checks"], [[text, str(uses[how])] for how, text in DIFFERENCES.items()]),
            f"Refused by both: {'; '.join(content['refused by both'])}.\n",
        ]
    )


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
