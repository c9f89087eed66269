"""What lessons measure with: a mean and its error, running means, information, time and memory.

A lesson prints these and draws them as error bars. Its claims are decided from the values themselves, one a seed.
"""

import sys
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from minillm.errors import InputError


def mean_and_error(values: Iterable[Any]) -> tuple[float, float]:
    """The mean of independent measurements and its standard error, by the sample's own spread.

    >>> mean_and_error([1.0, 2.0, 3.0])  # spread 1 with n - 1, over sqrt(3)
    (2.0, 0.5773502691896258)
    """
    array = np.asarray(values if isinstance(values, np.ndarray) else list(values), float)
    if array.ndim != 1 or array.size < 2:
        raise InputError(f"mean_and_error: shape {array.shape}; give two or more measurements in one row.")
    return float(array.mean()), float(array.std(ddof=1) / np.sqrt(array.size))


def seconds(function: Callable[[], Any], runs: int = 5) -> np.ndarray:
    """How long each of some calls took, after one call that may compile. Waits for what JAX computes.

    The fastest (`.min()`) says what the work costs; `np.median` says what one waits for.
    """
    import jax

    jax.block_until_ready(function())
    taken = np.empty(runs)
    for run in range(runs):
        began = time.perf_counter()
        jax.block_until_ready(function())
        taken[run] = time.perf_counter() - began
    return taken


def num_bytes(tree: Any) -> int:
    """The bytes of all arrays in nested dicts, lists and tuples; also of arrays that `jax.eval_shape` describes.

    >>> num_bytes({"a": np.zeros((2, 3), np.float32), "b": [np.zeros(5)]})  # 6 * 4 + 5 * 8
    64
    """
    import jax

    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def exact_determinant(matrix: Any) -> Fraction:
    """The determinant of a square matrix, by elimination in fractions: nothing is rounded.

    >>> exact_determinant([[0.5, 3.0], [0.25, 2.0]])  # 1 - 0.75
    Fraction(1, 4)
    """
    rows = [[Fraction(float(number)) for number in row] for row in matrix]
    result = Fraction(1)
    while rows:
        pivot = next((index for index, row in enumerate(rows) if row[0]), None)
        if pivot is None:
            return Fraction(0)
        top = rows.pop(pivot)
        result *= (-1) ** pivot * top[0]
        rows = [[a - row[0] / top[0] * b for a, b in zip(row[1:], top[1:], strict=True)] for row in rows]
    return result


def peak_memory() -> int | None:
    """The most bytes that this process has held at once; None where the system does not say, as on Windows.

    >>> peak_memory() is None or peak_memory() > 10_000_000
    True
    """
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def free_memory() -> None:
    """Drop compiled programs and return freed memory to the system, before a part that needs other programs."""
    import jax

    from minillm.training.allocator import give_back_freed_memory

    jax.clear_caches()
    give_back_freed_memory()


def mutual_information(a: Any, b: Any) -> tuple[float, float, float]:
    """How many nats two lists of labels (whole numbers from 0) tell of each other, and the entropy of each.

    Estimated from how often each pair occurs; with few pairs for many labels it comes out too high.

    >>> [round(nats, 4) for nats in mutual_information([0, 0, 1, 1], [0, 0, 1, 2])]  # b says a: ln 2, ln 2, 1.5 ln 2
    [0.6931, 0.6931, 1.0397]
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise InputError(f"mutual_information: shapes {a.shape} and {b.shape}; give two rows of labels of one length.")
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)
    joint = counts / counts.sum()
    of_a, of_b, of_both = (_entropy(part) for part in (joint.sum(1), joint.sum(0), joint.ravel()))
    return of_a + of_b - of_both, of_a, of_b


def normalised_information(a: Any, b: Any) -> float:
    """Normalised mutual information of two lists of labels: 0 if they tell nothing of each other, 1 if all.

    The mutual information over the root of both entropies; 0 where a list has one label only.

    >>> round(normalised_information([0, 0, 1, 1], [0, 0, 1, 2]), 4)  # ln 2 / sqrt(ln 2 * 1.5 ln 2)
    0.8165
    """
    both, of_a, of_b = mutual_information(a, b)
    return both / float(np.sqrt(of_a * of_b)) if of_a * of_b > 0 else 0.0


def table_skill(labels: Any, targets: Any) -> float:
    """What part of a naive predictor's errors a table from label to target saves: 1 is all, 0 or less is none.

    The table is made from the first half of the pairs, and tested on the second. The naive predictor always names the
    most frequent target, and so does the table for a label that it has not seen.

    >>> table_skill([0, 1, 1, 0, 1, 1], [3, 5, 5, 3, 5, 3])  # naive: 2 wrong; the table: 1
    0.5
    """
    labels, targets, half = np.asarray(labels), np.asarray(targets), len(labels) // 2
    table = np.tile(1e-6 * np.bincount(targets[:half], minlength=targets.max() + 1), (labels.max() + 1, 1))
    np.add.at(table, (labels[:half], targets[:half]), 1)
    wrong = np.mean(table.argmax(1)[labels[half:]] != targets[half:])
    naive = np.mean(table.sum(0).argmax() != targets[half:])
    if naive == 0:
        raise InputError("table_skill: the most frequent target is always right; there is nothing to predict.")
    return float(1 - wrong / naive)


def effective_number(parts: Any) -> float:
    """How many equal parts would be as even as these (which sum to 1): e to the power of their entropy.

    >>> round(effective_number([0.5, 0.5, 0.0]), 4)
    2.0
    """
    return float(np.exp(_entropy(np.asarray(parts, float))))


def _entropy(probabilities: Any) -> float:
    positive = probabilities[probabilities > 0]
    return float(-np.sum(positive * np.log(positive)))


def running_mean(values: Any, span: int) -> np.ndarray:
    """The mean of each `span` values in a row; the first is of values 0 to span - 1.

    >>> running_mean([1.0, 2.0, 6.0], 2)
    array([1.5, 4. ])
    """
    array = np.asarray(values, float)
    if array.ndim != 1 or not 1 <= span <= array.size:
        raise InputError(f"running_mean: shape {array.shape} and span {span}; give one row of span or more values.")
    return np.convolve(array, np.ones(span) / span, mode="valid")


def steps_to(losses: Any, target: float, span: int) -> int | None:
    """After how many steps the mean of the last `span` losses is first below the target; None if it never is.

    >>> steps_to([3.0, 2.0, 1.0, 0.0], target=1.0, span=2), steps_to([3.0, 2.0], target=1.0, span=2)
    (4, None)
    """
    below = np.flatnonzero(running_mean(losses, span) < target)
    return int(below[0]) + span if below.size else None
