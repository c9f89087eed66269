"""Verdicts: the possible outcomes of one check, each with the words that a student reads."""

from dataclasses import dataclass, field
from typing import Any

PASS = "pass"
VERDICTS = {
    PASS: "correct",
    "wrong_value": "a wrong value",
    "wrong_shape": "an array of the wrong shape",
    "wrong_dtype": "an array of the wrong dtype",
    "wrong_type": "not an array",
    "non_finite": "NaN or infinity instead of a number",
    "mutated_input": "it changes its input array",
    "not_implemented": "not written yet",
    "missing": "the function or its file is missing",
    "exception": "it raises an exception",
    "syntax": "the file is not valid Python",
    "unreadable": "the file cannot be read",
    "import_error": "an import fails",
    "forbidden": "it uses something that this assignment does not allow",
    "timeout": "it takes too long",
    "memory": "it uses too much memory",
    "output": "it prints too much",
    "crash": "its process ended unexpectedly",
}


@dataclass(frozen=True)
class Call:
    """One call of a student's function, and its outcome."""

    function: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    verdict: str  # "value" if it returned one
    value: Any = None
    report: dict[str, Any] = field(default_factory=dict)  # of an exception: error, message, line, text


class Failure(Exception):
    """A student's code returned no value. Hypothesis may look for a smaller input with the same failure."""

    def __init__(self, verdict: str, report: dict[str, Any]):
        """`report` has what is known: error, message, line, text."""
        super().__init__(verdict)
        self.verdict, self.report = verdict, report


class Fatal(BaseException):
    """The worker ended or hangs, so no smaller input is looked for. Passes through Hypothesis."""

    def __init__(self, verdict: str, report: dict[str, Any]):
        """As of Failure."""
        super().__init__(verdict)
        self.verdict, self.report = verdict, report


@dataclass(frozen=True)
class Result:
    """The outcome of one check."""

    id: str
    part: str
    question: str
    law: str  # what should hold, in words
    verdict: str
    points: int
    most: int
    message: str = ""  # what is wrong
    call: Call | None = None  # the one that shows it
    problem: tuple[Any, ...] = ()  # the input of the law
    got: Any = None
    expected: Any = None
    of: str = ""  # what these two are, where it is not the answer itself
    line: dict[str, Any] = field(default_factory=dict)  # file, line, text: the student's own
    hints: tuple[str, ...] = ()
    mutant: str = ""  # the known mistake that behaves the same
    printed: str = ""  # the first characters of what it printed
    seconds: float = 0.0
