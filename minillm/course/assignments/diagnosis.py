"""Find the known mistake that a wrong answer looks like: the mutant that does the same on all inputs tried.

Mutants are ours, so they run here, in the grader. They get the same arguments as the student's functions, and are
compared call by call: values, shapes, kinds of error, and whether the input was changed.
"""

import types
from functools import lru_cache
from typing import Any

import numpy as np

from minillm.course.assignments.driver import arrays_in
from minillm.course.assignments.folder import Assignment, Mutant, Variant
from minillm.course.assignments.verdicts import Call
from minillm.course.worker.tracing import arrays_of, same

MOST_COMPARED = 200


def diagnose(
    assignment: Assignment,
    part: str,
    variant: Variant,
    calls: list[Call],
    earlier: list[Call],
    verdict: str,
    message: str,
) -> Mutant | None:
    """The mutant that does the same in `calls`; if several do, the one that also does in `earlier` calls."""
    mutants = [mutant for mutant in assignment.mutants if mutant.part == part]
    if part == "jax":  # running them would take longer than the check; their errors tell them apart
        return next((m for m in mutants if m.match and (m.match == verdict or m.match in message)), None)
    wrong = [call for call in calls if call.verdict != "value"]
    compared = [*wrong[-MOST_COMPARED // 2 :], *calls[-MOST_COMPARED // 2 :], *calls[: MOST_COMPARED // 2]]
    if not compared:
        return None
    alike = []
    for mutant in mutants:
        functions = functions_of(assignment.mutant_source(mutant, variant), mutant.name)
        if all(_alike(functions, call) for call in compared):
            if all(_alike(functions, call) for call in earlier):
                return mutant
            alike.append(mutant)
    return alike[0] if alike else None


@lru_cache(maxsize=256)
def functions_of(text: str, name: str) -> dict[str, Any]:
    """The functions of a text of ours, a mutant's or the solution's."""
    module = types.ModuleType(name)
    exec(compile(text, name, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _alike(functions: dict[str, Any], call: Call) -> bool:
    args, kwargs = copied(call.args), copied(call.kwargs)
    before = [array.copy() for array in arrays_of((args, kwargs), np)]
    try:
        with np.errstate(all="ignore"):
            value = functions[call.function](*args, **kwargs)
    except Exception as error:
        return call.verdict == "exception" and call.report.get("error") == type(error).__name__
    changed = not all(same(a, b, np) for a, b in zip(before, arrays_of((args, kwargs), np), strict=True))
    if changed or call.verdict == "mutated_input":
        return changed and call.verdict == "mutated_input"
    if call.verdict != "value":
        return False
    pairs = arrays_in(value), arrays_in(call.value)
    return len(pairs[0]) == len(pairs[1]) and all(map(_close, *pairs))


def _close(first: np.ndarray, second: np.ndarray) -> bool:
    if first.shape != second.shape or first.dtype.kind != second.dtype.kind:
        return False
    with np.errstate(all="ignore"):
        return bool(np.allclose(first, second, rtol=1e-9, atol=1e-9, equal_nan=True))


def copied(value: Any) -> Any:
    """A value with arrays of its own, for a function that may change them.

    >>> copied((np.ones(1), [3]))
    (array([1.]), [3])
    """
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {name: copied(part) for name, part in value.items()}
    return type(value)(map(copied, value)) if isinstance(value, list | tuple) else value
