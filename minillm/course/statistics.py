"""Confidence intervals for a few seeds and for many answers.

A mean over seeds gets Student's t interval, whose quantile is 4.30 for three seeds where the normal's is 1.96.
Yes-or-no answers get the exact binomial interval of Clopper and Pearson, and two lists of answers to the same
questions the exact interval of McNemar's test, which looks only at the questions that the two answer differently.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from minillm.errors import InputError


@dataclass(frozen=True)
class Interval:
    """An estimate and its two-sided confidence interval."""

    estimate: float
    low: float
    high: float
    n: int | None  # how many values it is of; None where a lesson gives its own standard error


def student_quantile(probability: float, dof: float) -> float:
    """The value that Student's t with `dof` degrees of freedom stays below with this probability.

    With t = sqrt(dof) tan(angle) the density becomes a power of a cosine, which quadrature integrates to rounding.

    >>> round(student_quantile(0.975, 2), 4), round(student_quantile(0.975, math.inf), 4)
    (4.3027, 1.96)
    """
    if not 0 < probability < 1 or not dof >= 1:
        raise InputError(f"Student's t: probability {probability} and dof {dof}; give 0 < probability < 1, dof >= 1.")
    if math.isinf(dof):
        return NormalDist().inv_cdf(probability)
    if probability < 0.5:
        return -student_quantile(1 - probability, dof)
    nodes, weights = np.polynomial.legendre.leggauss(64)
    scale = math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2)) / math.sqrt(math.pi)

    def above_half(t: float) -> float:
        """P(0 < T < t)."""
        angle = math.atan(t / math.sqrt(dof))
        return scale * float(np.sum(weights * np.cos(angle * (nodes + 1) / 2) ** (dof - 1))) * angle / 2

    high = 1.0
    while above_half(high) < probability - 0.5:
        high *= 2
    return _root(lambda t: above_half(t) - (probability - 0.5), 0.0, high)


def mean_interval(values: np.ndarray, level: float) -> Interval:
    """Student's interval of a mean, from at least two values.

    >>> interval = mean_interval(np.array([1.0, 2.0, 3.0]), 0.95)  # 2 +- 4.3027 * 1 / sqrt(3)
    >>> round(interval.low, 4), round(interval.high, 4)
    (-0.4841, 4.4841)
    """
    n = len(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    return error_interval(float(np.mean(values)), error, n - 1, level, n)


def difference_interval(left: np.ndarray, right: np.ndarray, level: float) -> Interval:
    """Welch's interval of mean(left) - mean(right), for runs that share nothing and may spread differently."""
    a, b = float(np.var(left, ddof=1)) / len(left), float(np.var(right, ddof=1)) / len(right)
    dof = (a + b) ** 2 / (a**2 / (len(left) - 1) + b**2 / (len(right) - 1)) if a + b else math.inf
    difference = float(np.mean(left)) - float(np.mean(right))
    return error_interval(difference, math.sqrt(a + b), dof, level, len(left) + len(right))


def error_interval(estimate: float, error: float, dof: float, level: float, n: int | None = None) -> Interval:
    """The interval of an estimate whose standard error is known with `dof` degrees of freedom."""
    half = student_quantile((1 + level) / 2, dof) * error
    return Interval(estimate, estimate - half, estimate + half, n)


def proportion_interval(right: int, n: int, level: float) -> Interval:
    """The exact interval of a probability from `right` of `n` answers (Clopper and Pearson).

    >>> interval = proportion_interval(0, 10, 0.95)  # high: 1 - 0.025 ** (1 / 10)
    >>> interval.low, round(interval.high, 4)
    (0.0, 0.3085)
    """
    tail = (1 - level) / 2
    low = _root(lambda p: _at_least(right, n, p) - tail, 0.0, 1.0) if right else 0.0
    high = _root(lambda p: tail - (1 - _at_least(right + 1, n, p)), 0.0, 1.0) if right < n else 1.0
    return Interval(right / n, low, high, n)


def paired_answers_interval(left: np.ndarray, right: np.ndarray, level: float) -> Interval:
    """The interval of P(left) - P(right) over the same questions; it excludes 0 where McNemar's exact test rejects.

    Of the questions answered differently, `left` has some; their probability has an exact interval. It is
    conditional on how many those are, so it serves to compare with 0 and with nothing else.
    """
    n, better, worse = len(left), int(np.sum(left & ~right)), int(np.sum(right & ~left))
    if not better + worse:
        return Interval(0.0, 0.0, 0.0, n)
    split, differ = proportion_interval(better, better + worse, level), (better + worse) / n
    low, high = ((2 * end - 1) * differ for end in (split.low, split.high))
    return Interval((better - worse) / n, low, high, n)


def smallest_error(decides: Callable[[float], bool]) -> float:
    """The smallest error probability at which intervals decide: the p-value of whatever they are of.

    Intervals narrow as the error grows, so what they decide at one error they decide at every larger one. What is
    below 1e-9 is given as 1e-9, a bound; else the answer is right to a millionth of itself.

    >>> round(smallest_error(lambda error: error >= 0.02), 4)
    0.02
    """
    if decides(1e-9):
        return 1e-9
    return 10 ** _root(lambda power: 1.0 if decides(10**power) else -1.0, -9.0, 0.0, steps=25)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, corrected so that with 95 % probability none below 0.05 is there by chance.

    The smallest of m counts m times, the next m - 1 times, and none less than one before it [Holm1979].

    >>> [round(p, 6) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def _at_least(count: int, n: int, p: float) -> float:
    """P(at least `count` of `n`) by the binomial distribution."""
    if p in {0.0, 1.0}:
        return float(count <= n * p)
    counts, factorials = np.arange(count, n + 1), _log_factorials(n)
    logs = factorials[n] - factorials[counts] - factorials[n - counts]
    return min(1.0, float(np.exp(logs + counts * math.log(p) + (n - counts) * math.log1p(-p)).sum()))


@cache
def _log_factorials(n: int) -> np.ndarray:
    return np.array([math.lgamma(i + 1) for i in range(n + 1)])


def _root(rising: Callable[[float], float], low: float, high: float, steps: int = 60) -> float:
    """Where a rising function crosses zero, by bisection."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2
