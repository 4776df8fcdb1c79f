"""What works, how, and what is refused: each situation of the zoo once, in float64, as the library decides on its own.

    python benchmarks/what_works.py

The situations are those of ``tests/zoo/``. Each matrix is compared with a dense reference, made entry by entry by loops
over backward passes. ``docs/guide/what_works.md`` is made from the results.
"""

import re
import sys
from typing import Any

import torch
from measuring import BENCHMARKS, origin, parser_of, save

sys.path.insert(0, str(BENCHMARKS.parent / "tests"))

from zoo import checking
from zoo.cases import Case
from zoo.matrices import MATRICES

from hessdens import Plan, as_operator


def looked_at(case: Case) -> dict[str, Any]:
    """Return what each operator gives in a situation, by kind of matrix."""
    found = {}
    for kind in case.operators:
        dtype = case.dtypes[0]
        attempt = checking.attempt(kind, checking.made(case, dtype), Plan())
        found[kind] = answer(attempt, case, kind)
        if defects := checking.defects_in(attempt, case, kind, dtype):
            found[kind]["defects"] = defects
    return found


def answer(attempt: checking.Attempt, case: Case, kind: str) -> dict[str, Any]:
    """Return the mode with its error against the reference, or the message of the refusal."""
    if isinstance(attempt.result, Exception):
        return {"refusal": beginning(str(attempt.result))}
    sizes, dense, _ = checking.expected(case.name, kind)
    right = checking.part_of(dense, sizes, checking.parameters_of(attempt.operator))
    stated = attempt.operator.product_error
    found = {
        "mode": attempt.operator.modes[0],
        "error": checking.error_of(attempt.result, right, by_columns=stated is not None),
    }
    return found if stated is None else found | {"product_error": stated}


def beginning(message: str) -> str:
    """Return the first two sentences of a message: the rule, what was received, and often the cure."""
    return " ".join(re.split(r"(?<=[.!?])\s+", message.strip())[:2])


def matrix(case: Any) -> dict[str, Any]:
    """Return how far the products of `as_operator` are from the matrix, or the message of the refusal."""
    try:
        operator = as_operator(case.make(), **case.options)
        result = operator @ torch.eye(operator.size, dtype=operator.dtype)
    except (ValueError, TypeError) as error:
        found = {"refusal": beginning(str(error))}
        right = case.refusal is not None and re.search(case.refusal, str(error))
    else:
        found = {"error": checking.error_of(result, torch.from_numpy(case.expected))}
        right = case.refusal is None
    return found if right else found | {"defects": [f"expected {case.refusal or 'a matrix'}"]}


def title(room: Any) -> str:
    """Return the first line of a room's docstring, without its full stop."""
    return room.__doc__.splitlines()[0].rstrip(".")


def main() -> None:
    """Look at all situations, and say how many are right."""
    arguments = parser_of(__doc__, __file__).parse_args()
    rooms = {title(room): {case.name: looked_at(case) for case in room.CASES} for room in checking.ROOMS}
    matrices = {case.name: matrix(case) for case in MATRICES}
    answers = [answer for room in rooms.values() for by_kind in room.values() for answer in by_kind.values()]
    for each in [*answers, *matrices.values()]:
        for defect in each.get("defects", []):
            print(defect, file=sys.stderr)
    save(arguments.output, {**origin(), "rooms": rooms, "matrices": matrices})
    print(f"{len(answers)} calls, {sum('defects' in answer for answer in answers)} wrong")


if __name__ == "__main__":
    main()
