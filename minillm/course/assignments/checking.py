"""Check a student's file: hold each function to its laws; where one breaks, find the smallest input that shows it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minillm.course.assignments.diagnosis import copied, diagnose, functions_of
from minillm.course.assignments.driver import MOST_SOURCE, Limits, Worker, arrays_in
from minillm.course.assignments.folder import Assignment, Check, Variant
from minillm.course.assignments.search import Effort, Found, search
from minillm.course.assignments.verdicts import PASS, Call, Failure, Fatal, Result
from minillm.laws import Broken, agree

EARLIER = 15  # calls of each check that the diagnosis of a later one looks at
VMAP = "jax.vmap over the function returns what single calls return."


def check_files(assignment: Assignment, paths: dict[str, Path], variant: Variant) -> Iterator[Result]:
    """The results of each part's file, one after the other. A failure in one check does not stop the others."""
    texts: dict[str, str | Failure] = {}
    for part, path in paths.items():
        try:
            texts[part] = read_source(path)
        except Failure as failure:
            texts[part] = failure
    yield from check_texts(assignment, texts, variant)


def check_texts(
    assignment: Assignment,
    texts: dict[str, str | Failure],
    variant: Variant,
    effort: Effort | None = None,
    user: str | None = None,
) -> Iterator[Result]:
    """As `check_files`, of the texts themselves; a Failure is a file that could not be read.

    All workers are started first: one that has JAX to import does so while another is at work.
    """
    sessions: dict[str, _Session] = {}
    try:
        for part, text in texts.items():
            if isinstance(text, str) and text != assignment.stub(part, variant):
                limits = assignment.worker_limits(part, user=user)
                sessions[part] = _Session(assignment, part, text, variant, effort or Effort(), limits)
        for part, text in texts.items():
            if part in sessions:
                yield from sessions[part].results()
            else:
                failure = text if isinstance(text, Failure) else Failure("not_implemented", {})
                yield from failed_alike(assignment, part, variant, failure)
    finally:
        for session in sessions.values():
            session.end()


def read_source(path: Path) -> str:
    """A student's file as text. Raises Failure: missing, unreadable."""
    if path.is_symlink() or not path.is_file():
        raise Failure("missing", {"message": f"there is no file {path.name}"})
    with path.open("rb") as file:
        return decode_source(file.read(MOST_SOURCE + 1), path.name)


def decode_source(content: bytes, name: str) -> str:
    """The text of a student's file. Raises Failure: unreadable.

    >>> decode_source(b"\\xff", "f.py")
    Traceback (most recent call last):
    minillm.course.assignments.verdicts.Failure: unreadable
    """
    if len(content) > MOST_SOURCE:
        raise Failure("unreadable", {"message": f"{name} is larger than {MOST_SOURCE // 1000} kB"})
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Failure("unreadable", {"message": f"{name} is not UTF-8 text"}) from None
    if "\0" in text:
        raise Failure("unreadable", {"message": f"{name} contains a null character"})
    return text


def check_source(
    assignment: Assignment,
    part: str,
    text: str,
    variant: Variant,
    effort: Effort | None = None,
    limits: Limits | None = None,
) -> Iterator[Result]:
    """The results of one text, whether it is the stub or not."""
    session = _Session(assignment, part, text, variant, effort or Effort(), limits or assignment.worker_limits(part))
    try:
        yield from session.results()
    finally:
        session.end()


def failed_alike(assignment: Assignment, part: str, variant: Variant, failure: Failure | Fatal) -> Iterator[Result]:
    """The results of a file that cannot be loaded: all checks get the same verdict."""
    known: dict[str, Any] = {"message": _message(failure), "line": _line(assignment.file(part), failure)}
    for blank in _blanks(assignment, part, variant):
        hints = _hints(assignment, blank.question, variant) if failure.verdict == "not_implemented" else ()
        yield replace(blank, verdict=failure.verdict, points=0, hints=hints, **known)


class _Session:
    """One file being checked; a worker that ended is replaced."""

    def __init__(
        self, assignment: Assignment, part: str, text: str, variant: Variant, effort: Effort, limits: Limits
    ) -> None:
        self.assignment, self.part, self.text, self.variant = assignment, part, text, variant
        self.effort, self.limits = effort, limits
        self.worker: Worker | None = Worker(limits)  # it starts while others are at work
        self.loaded = False
        self.earlier: list[Call] = []  # some of the calls of checks before
        self.good: dict[str, list[Call]] = {question: [] for question in assignment.questions}

    def results(self) -> Iterator[Result]:
        try:
            self.running()
        except (Failure, Fatal) as failure:
            yield from failed_alike(self.assignment, self.part, self.variant, failure)
            return
        dead: dict[str, Fatal] = {}  # a function that hangs or crashes takes its time limit once
        blanks = _blanks(self.assignment, self.part, self.variant)
        for check, blank in zip(self.assignment.checks_for(self.part, self.variant), blanks, strict=False):
            began = time.monotonic()
            if check.question in dead:
                result = self.failed(blank, dead[check.question])
            else:
                result = self.checked(check, blank, dead)
            yield replace(result, seconds=time.monotonic() - began)
        if self.part == "jax":
            for blank in blanks[-len(self.assignment.questions) :]:
                began = time.monotonic()
                yield replace(self.vmapped(blank), seconds=time.monotonic() - began)

    def running(self) -> Worker:
        if self.worker is None:
            self.worker, self.loaded = Worker(self.limits), False
        if not self.loaded:
            self.worker.load(self.assignment.file(self.part), self.text)
            self.loaded = True
        return self.worker

    def end(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def checked(self, check: Check, blank: Result, dead: dict[str, Fatal]) -> Result:
        try:
            worker = self.running()
        except (Failure, Fatal) as error:  # it loads once and not again
            self.end()
            return self.failed(blank, error)
        functions = {name: worker.function(name) for name in self.assignment.questions}
        transform = "jit" if self.part == "jax" else None
        counterexample, calls = search(
            check.law, check.subjects(functions, self.variant), worker, self.effort, transform
        )
        self.good[check.question] += [call for call in calls if call.verdict == "value"]
        result = blank if counterexample is None else self.wrong(blank, counterexample, calls, worker)
        if check.adapt is not None and result.got is not None and not result.of:
            result = self.in_own_terms(result)
        self.earlier += calls[-EARLIER:]
        if counterexample is not None and isinstance(counterexample.error, Fatal):
            dead[check.question] = counterexample.error
            self.end()
        return result

    def wrong(self, blank: Result, counterexample: Found, calls: list[Call], worker: Worker) -> Result:
        """A wrong answer: its input, the expected value, the student's line, the known mistake it looks like."""
        error, message = counterexample.error, _message(counterexample.error)
        line = _line(self.assignment.file(self.part), error)
        if "line" not in line and counterexample.calls and not isinstance(error, Fatal) and self.part == "numpy":
            line |= _own_line(worker, counterexample.calls[-1], error.verdict)
        failed = self.failed(blank, error)
        mutant = diagnose(self.assignment, self.part, self.variant, calls, self.earlier, error.verdict, message)
        return replace(
            failed,
            call=counterexample.calls[-1] if counterexample.calls else None,
            problem=counterexample.problem,
            got=getattr(error, "got", None),
            expected=getattr(error, "expected", None),
            of=getattr(error, "of", ""),
            line=line,
            printed=worker.printed,
            hints=tuple(self.assignment.say(hint, self.variant) for hint in mutant.hints) if mutant else failed.hints,
            mutant=mutant.name if mutant else "",
        )

    def in_own_terms(self, result: Result) -> Result:
        """An adapted law compares values that the student never sees: compare the student's own call instead."""
        call = result.call
        if call is None or call.verdict != "value":
            return result
        solution = functions_of(self.assignment.solution("numpy", self.variant), "solution")
        expected = solution[call.function](*copied(call.args), **copied(call.kwargs))
        parts = (expected, call.value) if isinstance(expected, tuple) else ((expected,), (call.value,))
        if not isinstance(parts[1], tuple | list) or len(parts[0]) != len(parts[1]):
            return result
        for right, got in zip(*parts, strict=True):
            try:
                agree(got, right)
            except Broken as broken:
                return replace(result, got=got, expected=right, message=str(broken))
        return result

    def failed(self, blank: Result, error: Broken | Failure | Fatal) -> Result:
        hints = _hints(self.assignment, blank.question, self.variant)
        line = _line(self.assignment.file(self.part), error)
        return replace(blank, verdict=error.verdict, points=0, message=_message(error), hints=hints, line=line)

    def vmapped(self, blank: Result) -> Result:
        """Two calls of the same shapes in one vmap, compared with the two single calls."""
        calls = [call for call in self.good[blank.question] if call.function == blank.question]
        if not calls:
            return self.failed(blank, Failure("not_implemented", {"message": "no call has returned a value yet"}))
        try:
            _compare_vmap(self.running(), max(calls, key=lambda call: sum(x.size for x in arrays_in(call.args))))
        except (Broken, Failure, Fatal) as error:
            if isinstance(error, Fatal):
                self.end()
            return self.failed(blank, error)
        return blank


def _blanks(assignment: Assignment, part: str, variant: Variant) -> list[Result]:
    """A result for each check, as if it had passed; in the JAX part each counts one point, and so does vmap."""
    blanks = []
    for check in assignment.checks_for(part, variant):
        points = check.points if part == "numpy" else 1
        law = assignment.say(check.words or check.law.statement, variant)
        blanks.append(Result(check.id, part, check.question, law, PASS, points, points))
    if part == "jax":
        blanks += [Result(f"{name}.vmap", part, name, VMAP, PASS, 1, 1) for name in assignment.questions]
    return blanks


def _hints(assignment: Assignment, question: str, variant: Variant) -> tuple[str, ...]:
    return tuple(assignment.say(hint, variant) for hint in assignment.hints.get(question, ()))


def _compare_vmap(worker: Worker, call: Call) -> None:
    def other(x: Any) -> Any:
        return x[::-1].copy() if isinstance(x, np.ndarray) and x.ndim and x.dtype.kind == "f" else x

    def stacked(x: Any, y: Any) -> Any:
        return np.stack([x, y]) if isinstance(x, np.ndarray) else x

    second = tuple(other(x) for x in call.args)
    worker.begin()
    values = [worker.function(call.function, "jit")(*args) for args in (call.args, second)]
    both = worker.function(call.function, "vmap")(*map(stacked, call.args, second))
    for index, value in enumerate(values):
        returned, should_be = arrays_in(both), arrays_in(value)
        if len(returned) != len(should_be) or any(x.shape[:1] != (2,) for x in returned):
            raise Broken("wrong_shape", "under jax.vmap it returns something of another shape")
        for got, expected in zip(returned, should_be, strict=True):
            agree(got[index], expected, of=f"the answer to input {index} of two")


def _own_line(worker: Worker, call: Call, verdict: str) -> dict[str, Any]:
    """The line of the student's file that goes wrong; the `return` if no other line does."""
    lines = worker.watch(call)
    first = {"non_finite": "non_finite", "mutated_input": "mutated"}.get(verdict, "returned")
    return dict(lines.get(first) or lines.get("returned") or {})


def _message(error: Broken | Failure | Fatal) -> str:
    if isinstance(error, Broken):
        return str(error)
    words = str(error.report.get("message", ""))
    return f"{error.report['error']}: {words}" if error.report.get("error") else words


def _line(file: str, error: Broken | Failure | Fatal) -> dict[str, Any]:
    report = {} if isinstance(error, Broken) else error.report
    return {"file": file, **{name: report[name] for name in ("line", "text") if name in report}}
