"""Laws: what must hold of a function, whoever wrote it.

A law takes the function (or the functions) it is about and an input, and raises `Broken` where it does not hold.
tests/house/test_laws.py holds the reference and its twin to every law of every `x_laws.py`; an assignment holds a
student's function to the same ones, on inputs from the same strategies.

    @law(softmax, given=scores)
    def rows_sum_to_one(softmax, x):
        "The probabilities of each row sum to 1."
        agree(np.sum(shaped(softmax(x), x), axis=-1), np.ones(x.shape[:-1]), of="the sums of the rows")

A law must be able to fail. It is shown zeros, the numbers of the input, infinities, and the right answer off by a
thousandth at one place, and must be broken by each; where one of these keeps it, `keeps` says why.

What a function answers may be anything. A law looks at it through `agree`, `shaped`, `several` or `counted` before it
reckons with it; whatever else goes wrong inside a law is the law's own fault, and raises `LawError`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
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


class LawError(Exception):
    """A law's own arithmetic failed: an error of ours, whatever the function answered."""


@dataclass(frozen=True)
class Law:
    """A law with what it is about and the inputs it holds for; called, it is its body."""

    name: str
    statement: str
    subjects: tuple[Callable[..., Any], ...]  # what it is about, as the reference has it
    body: Callable[..., None]
    given: SearchStrategy[tuple[Any, ...]]
    keeps: Mapping[str, str] = field(default_factory=dict, compare=False)  # wrong answers that do not break it, and why

    def __call__(self, *args: Any) -> None:
        """Hold the functions, which come first, to the law on this input. What they raise goes through as it is."""
        raised: list[BaseException] = []
        outside = np.geterr()
        functions = [_reporting(function, raised, outside) for function in args[: len(self.subjects)]]
        try:
            with np.errstate(all="ignore"):  # odd answers may overflow here; what comes of it is compared
                self.body(*functions, *args[len(functions) :])
        except Broken:
            raise
        except Exception as error:
            if any(error is one for one in raised):
                raise
            raise LawError(f"{self.name}: {error!r} on {args[len(functions) :]!r}") from error


def _reporting(function: Callable[..., Any], raised: list[BaseException], outside: Any) -> Callable[..., Any]:
    """The function, which runs under the caller's handling of overflow and notes what it raises."""

    @wraps(function)
    def reporting(*args: Any, **kwargs: Any) -> Any:
        try:
            with np.errstate(**outside):
                return function(*args, **kwargs)
        except Exception as error:
            raised.append(error)
            raise

    return reporting


WRONG = ("zeros", "input", "infinities", "off")  # what every law is shown


def law(
    *subjects: Callable[..., Any], given: SearchStrategy[Any], keeps: Mapping[str, str] | None = None
) -> Callable[[Callable[..., None]], Law]:
    """Make a law of a function whose first arguments are the subjects, and whose docstring states it.

    `keeps` has a reason for each of `WRONG` that does not break the law.
    """

    def make(body: Callable[..., None]) -> Law:
        statement = (inspect.getdoc(body) or "").split("\n\n")[0].replace("\n", " ")
        return Law(body.__name__, statement, subjects, body, given, keeps or {})

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
        allowed = tolerance * max(1.0, float(np.max(np.abs(expected), initial=0.0, where=finite)))
        with np.errstate(all="ignore"):
            bad = np.where(
                finite, np.abs(got - expected) > allowed, ~((got == expected) | (np.isnan(got) & np.isnan(expected)))
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
    """An answer as finite numbers in an array of the shape of another, before a law reckons with it.

    Where the other is floating-point, so is what it gives, in float64: the law's own arithmetic loses nothing.

    >>> shaped(np.ones(3), np.ones(2))
    Traceback (most recent call last):
    minillm.laws.Broken: its shape is (3,) and should be (2,)
    """
    like = np.asarray(like)
    array = _array(answer, like, of)
    if array.shape != like.shape:
        raise Broken("wrong_shape", f"its shape is {array.shape} and should be {like.shape}", array, None, of)
    if array.dtype.kind not in "fiub":
        raise Broken("wrong_dtype", f"its dtype is {array.dtype} and should be {like.dtype}", array, None, of)
    missing = ~np.isfinite(array)
    if missing.any():
        place = _first(missing)
        raise Broken("non_finite", f"it is {array[place]} at {place} and should be finite", array, None, of)
    return array.astype(np.float64) if like.dtype.kind == "f" else array


def fits(answer: Any, *shape: int) -> bool:
    """Whether an answer is real numbers of this shape, which an adapter may reckon with; else it hands the answer on.

    >>> fits(np.ones((2, 3)), 2, 3), fits(2.0), fits([1.0, 2.0], 2), fits(None)
    (True, True, False, False)
    """
    if not isinstance(answer, np.ndarray | np.generic | float):
        return False
    return np.shape(answer) == shape and np.asarray(answer).dtype.kind in "fiub"


def several(answer: Any, count: int, names: str) -> tuple[Any, ...]:
    """An answer of several parts, or the complaint that it has not so many.

    >>> several((1, 2), 2, "query, key")
    (1, 2)
    """
    if not isinstance(answer, list | tuple) or len(answer) != count:
        raise Broken("wrong_type", f"it should give {count} things: {names}", answer)
    return tuple(answer)


def counted(answer: Any) -> Any:
    """Whole numbers of any width as int64, so that their width does not matter; anything else as it is.

    >>> counted(np.array([3], np.uint8)).dtype
    dtype('int64')
    """
    whole = isinstance(answer, int | np.ndarray | np.generic) and np.asarray(answer).dtype.kind in "iu"
    return np.asarray(answer).astype(np.int64) if whole else answer


def _array(got: Any, expected: np.ndarray, of: str) -> np.ndarray:
    if isinstance(got, bool | int | float) and expected.ndim == 0:
        try:
            return np.asarray(got, expected.dtype if isinstance(got, int) and expected.dtype.kind == "f" else None)
        except OverflowError:
            raise Broken("non_finite", "it is beyond every floating-point number", got, expected, of) from None
    if not isinstance(got, np.ndarray | np.generic) and not hasattr(got, "__array__"):
        name = "None (is a return missing?)" if got is None else f"a {type(got).__name__}"
        raise Broken(
            "wrong_type", f"it is {name} and should be an array of shape {np.shape(expected)}", got, expected, of
        )
    return np.asarray(got)


def _first(bad: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(bad)[0])
