"""Results for people: what was wrong, by the smallest input that shows it, in the student's own terms."""

import ast
import hashlib
import textwrap
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from minillm.course.assignments.driver import arrays_in
from minillm.course.assignments.folder import Assignment
from minillm.course.assignments.verdicts import PASS, VERDICTS, Call, Result

MOST_NUMBERS = 36  # of an array that is shown whole
MOST_WIDTH = 10_000  # where no terminal says how wide it is
_INDENT = " " * 22


def show_results(
    console: Console, assignment: Assignment, part: str, results: list[Result], where: str, level: int
) -> None:
    """One line for each check; for each function that is wrong, what is wrong with it, with a hint of this level."""
    points, most = total(results)
    width = console.width if console.is_terminal else MOST_WIDTH
    head = Text.assemble(
        ("✓ " if points == most else "✗ ", "bold green" if points == most else "bold red"),
        (f"{assignment.number.lstrip('0')} {assignment.title}{' in JAX' if part == 'jax' else ''}", "bold"),
        f"  {points}/{most} points",
        (f"  {where}" if where else "", "dim"),
    )
    console.print(head, soft_wrap=True)
    verdicts = {result.verdict for result in results}
    if verdicts == {"not_implemented"} or (PASS not in verdicts and all(result.call is None for result in results)):
        # Of the whole file: it is not begun, or cannot be loaded.
        console.print(_explained(results[0], 1, where, width), soft_wrap=True)
        return
    told: set[str] = set()
    for result in results:
        mark, style = ("✓", "green") if result.verdict == PASS else ("✗", "red")
        first, *more = _wrapped(f"{result.question}  {result.law}", width - 4)
        law = "\n    ".join([first.removeprefix(result.question), *more])
        console.print(Text.assemble((f"  {mark} ", style), result.question, (law, "dim")), soft_wrap=True)
        if result.verdict != PASS and result.question not in told:
            told.add(result.question)
            console.print(_explained(result, level if len(told) == 1 else 1, where, width), soft_wrap=True)


def total(results: list[Result]) -> tuple[int, int]:
    """Points, and points there are."""
    return sum(r.points for r in results), sum(r.most for r in results)


def first_wrong(results: list[Result]) -> Result | None:
    """What the hints are about."""
    return next((result for result in results if result.verdict != PASS), None)


def failure_key(result: Result) -> str:
    """A short name of a counterexample, the same whenever it is found again.

    >>> failure_key(Result("softmax.law", "numpy", "softmax", "", "wrong_value", 0, 1))
    'softmax-2ad9'
    """
    call = result.call
    what = repr((result.id, result.part, result.verdict, call and [x.tolist() for x in arrays_in(call.args)]))
    return f"{result.question}-{hashlib.sha256(what.encode()).hexdigest()[:4]}"


def hint_text(result: Result, level: int) -> str:
    """Hint number `level`, from 1; the last one beyond."""
    if not result.hints:
        return ""
    index = min(level, len(result.hints))
    return f"{index}/{len(result.hints)}  {result.hints[index - 1]}"


def argument_names(assignment: Assignment, part: str, function: str) -> list[str]:
    """The names of a function's arguments, from its signature in the course."""
    for node in ast.parse(assignment.sources[part]).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return [argument.arg for argument in node.args.args]
    return []


def _explained(result: Result, level: int, where: str, width: int) -> Text:
    rows: list[tuple[str, str]] = [("verdict", f"{VERDICTS.get(result.verdict, result.verdict)} ({result.verdict})")]
    written = result.verdict != "not_implemented"
    if result.call is not None and written:
        rows.append(("smallest input", _called(result.call)))
    if result.verdict in ("wrong_value", "non_finite", "wrong_shape", "wrong_dtype", "wrong_type"):
        rows += _compared(result)
    elif result.message and written:
        rows.append(("what happened", result.message.split("\n")[0]))
    if result.line.get("line") and written:
        rows.append(("your code", f"{result.line['file']}:{result.line['line']}  {result.line['text']}"))
    if result.printed.strip() and result.verdict != "output":
        first = result.printed.strip().splitlines()[0][:100]
        rows.append(("it printed", "".join(c if c.isprintable() else "?" for c in first)))
    hint = hint_text(result, level)
    if hint and written:
        rows.append((f"hint {hint.split('  ')[0]}", hint.split("  ", 1)[1]))
    if result.call is not None and where and written:
        rows.append(("run it again", f"minillm check {where.split('/', maxsplit=1)[0]} --replay {failure_key(result)}"))
    text = Text()
    for name, content in rows:
        text.append(f"      {name:16}", style="cyan")
        lines = [line for one in content.split("\n") for line in _wrapped(one, width - len(_INDENT))]
        text.append(("\n" + _INDENT).join(lines) + "\n")
    text.rstrip()
    return text


def _wrapped(line: str, width: int) -> list[str]:
    """A sentence in lines of its own width; an array as it stands."""
    return [line] if len(line) <= width or line[:1] in " [" else textwrap.wrap(line, max(width, 30))


def _compared(result: Result) -> list[tuple[str, str]]:
    small = all(np.size(x) <= MOST_NUMBERS for x in (result.got, result.expected) if x is not None)
    if result.got is None and result.expected is None:
        return [("what happened", result.message)]
    if result.expected is None or not small:
        rows = [("what happened", f"{result.of or 'your answer'}: {result.message}")]
        if result.got is not None and np.size(result.got) <= MOST_NUMBERS:
            rows.append(("it is", array_text(result.got)))
        return rows
    if result.verdict in ("wrong_type", "wrong_dtype"):
        return [("your answer", result.message)]
    if result.of:
        compared = [("it gives", array_text(result.got)), ("should be", array_text(result.expected))]
        return [("broken law", result.law), ("compared", result.of), *compared]
    return [("your answer", array_text(result.got)), ("expected", array_text(result.expected))]


def _called(call: Call) -> str:
    return f"{call.function}({', '.join(array_text(x) for x in call.args)})"


def array_text(value: Any) -> str:
    """A value as a person writes it; a large array by its shape.

    >>> array_text(np.array([[710.0]])), array_text(np.zeros((9, 9))), array_text(3)
    ('[[710.]]', 'an array of shape (9, 9)', '3')
    """
    if isinstance(value, np.ndarray | np.generic):
        if value.size > MOST_NUMBERS:
            return f"an array of shape {value.shape}"
        return np.array2string(np.asarray(value), precision=6, separator=", ", max_line_width=90)
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(array_text, value)) + ")"
    return repr(value)


def replay_script(assignment: Assignment, part: str, result: Result) -> str:
    """Four lines that make the failing call again."""
    assert result.call is not None
    call, file = result.call, assignment.file(part).removesuffix(".py")
    names = argument_names(assignment, part, call.function)[: len(call.args)] or [
        f"x{i}" for i in range(len(call.args))
    ]
    numpy = (
        "import numpy as np"
        if part == "numpy"
        else "import jax, numpy as np; jax.config.update('jax_enable_x64', True)"
    )
    values = ", ".join(_literal(x) for x in call.args)
    expected = f"  # should be {array_text(result.expected)}" if result.expected is not None and not result.of else ""
    law = expected or f"  # {result.law}"
    return (
        f"{numpy}\nfrom {file} import {call.function}\n"
        f"{', '.join(names)} = {values}\nprint({call.function}({', '.join(names)})){law}\n".replace(
            "\n" + _INDENT, "\n"
        )
    )


def _literal(value: Any) -> str:
    if isinstance(value, np.ndarray):
        dtype = "" if value.dtype == np.float64 else f", np.{value.dtype}"
        return f"np.array({_numbers(repr(value.tolist()))}{dtype})"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_literal, value)) + ",)"
    return _numbers(repr(value))


def _numbers(text: str) -> str:
    return text.replace("nan", "np.nan").replace("inf", "np.inf")
