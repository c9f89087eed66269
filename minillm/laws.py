"""Laws: what must hold of a function, whoever wrote it.

A law takes the function (or the functions) it is about and an input, and raises `Broken` where it does not hold.
`tests/test_laws.py` holds the reference to every law here; an assignment holds a student's function to the same ones,
on inputs from the same strategies.

    @law(softmax, given=scores)
    def rows_sum_to_one(softmax, x):
        "The shares of each row sum to 1."
        agree(softmax(x).sum(-1), np.ones(x.shape[:-1]), of="the sums of its rows")
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis.strategies import SearchStrategy

TOLERANCE = 1e-9  # relative to the largest number of the expected answer: float64, and sums in another order


class Broken(AssertionError):
    """A law does not hold. `verdict` says in which way (`minillm.course.assignments.verdicts`)."""

    def __init__(self, verdict: str, message: str, got: Any = None, expected: Any = None, of: str = ""):
        """`got` and `expected` are what was compared, and `of` what they are, where it is not the answer itself."""
        super().__init__(message)
        self.verdict, self.got, self.expected, self.of = verdict, got, expected, of


@dataclass(frozen=True)
class Law:
    """A law with what it is about and the inputs it holds for; called, it is its body."""

    name: str
    statement: str
    subjects: tuple[Callable[..., Any], ...]  # what it is about, as the reference has it
    body: Callable[..., None]
    given: SearchStrategy[tuple[Any, ...]]

    def __call__(self, *args: Any) -> None:
        """Hold the functions, which come first, to the law on this input."""
        try:
            self.body(*args)
        except (TypeError, ValueError, IndexError, OverflowError, MemoryError) as error:
            # Answers of another form fail somewhere in the law's own arithmetic.
            raise Broken("wrong_shape", f"the law cannot be tested on it ({error})") from error


def law(*subjects: Callable[..., Any], given: SearchStrategy[Any]) -> Callable[[Callable[..., None]], Law]:
    """Make a law of a function whose first arguments are the subjects, and whose docstring states it."""

    def make(body: Callable[..., None]) -> Law:
        statement = (inspect.getdoc(body) or "").split("\n\n")[0].replace("\n", " ")
        return Law(body.__name__, statement, subjects, body, given)

    return make


def agree(got: Any, expected: Any, tolerance: float = TOLERANCE, of: str = "") -> None:
    """Shape, dtype and numbers alike, up to `tolerance` times the largest expected number (and no less than 1).

    >>> agree(np.ones(2), np.array([1.0, 2.0]))
    Traceback (most recent call last):
    minillm.laws.Broken: it is 1.0 at (1,) and should be 2.0
    """
    expected = np.asarray(expected)
    got = _array(got, expected, of)
    if got.shape != expected.shape:
        message = f"its shape is {got.shape} and should be {expected.shape}"
        raise Broken("wrong_shape", message, got, expected, of)
    if got.dtype.kind != expected.dtype.kind or (got.dtype.kind == "f" and got.dtype != expected.dtype):
        raise Broken("wrong_dtype", f"its dtype is {got.dtype} and should be {expected.dtype}", got, expected, of)
    if expected.dtype.kind != "f":
        bad = got != expected
    else:
        finite = np.isfinite(expected)
        missing = finite & ~np.isfinite(got)
        if missing.any():
            place = _first(missing)
            message = f"it is {got[place]} at {place} and should be {expected[place]}"
            raise Broken("non_finite", message, got, expected, of)
        room = tolerance * max(1.0, float(np.max(np.abs(expected), initial=0.0, where=finite)))
        with np.errstate(all="ignore"):
            bad = np.where(
                finite, np.abs(got - expected) > room, ~((got == expected) | (np.isnan(got) & np.isnan(expected)))
            )
    if bad.any():
        place = _first(bad)
        message = f"it is {got[place]} at {place} and should be {expected[place]}"
        verdict = "non_finite" if expected.dtype.kind == "f" and np.isnan(expected[place]) else "wrong_value"
        raise Broken(verdict, message, got, expected, of)


def require(holds: Any, message: str, got: Any = None) -> None:
    """For what is no comparison: the message says what should be.

    >>> require(2 < 1, "the larger comes first")
    Traceback (most recent call last):
    minillm.laws.Broken: the larger comes first
    """
    if not np.all(holds):
        raise Broken("wrong_value", message, got)


def shaped(answer: Any, like: np.ndarray, of: str = "") -> np.ndarray:
    """An answer as an array of the shape and kind of another, before a law reckons with it.

    >>> shaped(np.ones(3), np.ones(2))
    Traceback (most recent call last):
    minillm.laws.Broken: its shape is (3,) and should be (2,)
    """
    found = _array(answer, like, of)
    if found.shape != like.shape:
        raise Broken("wrong_shape", f"its shape is {found.shape} and should be {like.shape}", found, None, of)
    if found.dtype.kind not in "fiub":
        raise Broken("wrong_dtype", f"its dtype is {found.dtype} and should be {like.dtype}", found, None, of)
    return found


def several(answer: Any, count: int, names: str) -> tuple[Any, ...]:
    """An answer of several parts, or the complaint that it has not so many.

    >>> several((1, 2), 2, "query, key")
    (1, 2)
    """
    if not isinstance(answer, list | tuple) or len(answer) != count:
        raise Broken("wrong_type", f"it should give {count} things: {names}", answer)
    return tuple(answer)


def _array(got: Any, expected: np.ndarray, of: str) -> np.ndarray:
    found = got
    if isinstance(got, bool | int | float) and expected.ndim == 0:
        found = np.asarray(got, expected.dtype if isinstance(got, int) and expected.dtype.kind == "f" else None)
    if not isinstance(found, np.ndarray | np.generic) and not hasattr(found, "__array__"):
        name = "None (is a return missing?)" if got is None else f"a {type(got).__name__}"
        raise Broken(
            "wrong_type", f"it is {name} and should be an array of shape {np.shape(expected)}", got, expected, of
        )
    return np.asarray(found)


def _first(bad: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(bad)[0])
