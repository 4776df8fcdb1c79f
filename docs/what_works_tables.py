"""What works, how, and what is refused with which cure, from the committed results of the zoo."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "what_works.json"
MATRICES = {"hessian": "Hessian", "ggn": "Gauss-Newton", "fisher": "Fisher", "empirical": "empirical Fisher"}
Room = Mapping[str, Mapping[str, Mapping[str, Any]]]


def what_works() -> str:
    """Return how the results were made, and for each room what works and what is refused."""
    content = json.loads(RESULTS.read_text())
    matrices = {name: {"hessian": answer} for name, answer in content["matrices"].items()}
    parts = [_summary(content)]
    for title, room in content["rooms"].items():
        parts += [f"## {title}\n", _working(room), _refused(room)]
    works = [name for name, answer in content["matrices"].items() if "error" in answer]
    parts += ["## Matrices for `as_operator`\n", f"Works: {', '.join(works)}.\n", _refused(matrices)]
    return "\n".join(parts)


def _summary(content: Mapping[str, Any]) -> str:
    situations = [by_kind for room in content["rooms"].values() for by_kind in room.values()]
    calls = [answer for by_kind in situations for answer in by_kind.values()]
    exact = [answer for answer in calls if "mode" in answer and "product_error" not in answer]
    differences = [answer for answer in calls if "product_error" in answer]
    refused = [answer for answer in calls if "refusal" in answer]
    wrong = [answer for answer in calls if "defects" in answer]
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return (
        f"{content['date']}, {versions}; `python benchmarks/what_works.py`, in float64, with the library's own choice "
        f"of how products are made.\n\n{len(situations)} situations, {len(calls)} calls:\n\n"
        f"- {len(exact)} give the matrix, with an error of {max(answer['error'] for answer in exact):.0e} of its "
        "largest entry at most;\n"
        f"- {len(differences)} give it by central differences, with a warning: real errors of columns up to "
        f"{max(answer['error'] for answer in differences):.0e}, where `product_error` says at most "
        f"{max(answer['product_error'] for answer in differences):.0e};\n"
        f"- {len(refused)} are refused by a message that is tested;\n"
        f"- {len(wrong)} are wrong.\n"
    )


def _working(room: Room) -> str:
    """Return the table of situations that some operator takes."""
    taken = {name: by_kind for name, by_kind in room.items() if any("mode" in each for each in by_kind.values())}
    kinds = [kind for kind in MATRICES if any(kind in by_kind for by_kind in taken.values())]
    rows = [[name, *(_how(by_kind.get(kind)) for kind in kinds)] for name, by_kind in taken.items()]
    return _table(["situation", *(MATRICES[kind] for kind in kinds)], rows) if rows else ""


def _how(answer: Mapping[str, Any] | None) -> str:
    if answer is None:
        return ""
    if "refusal" in answer:
        return "refused"
    return f"differences, {answer['product_error']:.0e}" if "product_error" in answer else answer["mode"]


def _refused(room: Room) -> str:
    """Return the messages of refusals, each with the situations that it is given in."""
    situations: dict[str, list[str]] = {}
    for name, by_kind in room.items():
        refused = {kind: answer["refusal"] for kind, answer in by_kind.items() if "refusal" in answer}
        for message in dict.fromkeys(refused.values()):
            kinds = [MATRICES[kind] for kind, other in refused.items() if other == message]
            only = f" ({', '.join(kinds)})" if len(kinds) < len(by_kind) else ""
            situations.setdefault(_plain(message), []).append(f"**{name}**{only}")
    lines = [f"- {', '.join(names)}: {message}" for message, names in situations.items()]
    return "\n".join(["Refused:\n", *lines, ""]) if lines else ""


def _plain(message: str) -> str:
    """Return a message in one line, with nothing that Markdown reads as markup."""
    return re.sub(r"([|<>*$\[\]`\\])", r"\\\1", " ".join(message.split()))


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
