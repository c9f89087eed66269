"""What a rule says of a measurement: supported, refuted or undecided.

A lesson hands over measurements and never a verdict. With a confidence interval the three verdicts are: the whole
interval lies where the rule wants it, it lies outside, it does neither. The smallest error at which the intervals
decide is the claim's p-value; with it a lesson corrects for how many claims it tests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from minillm.course.rules import Rule
from minillm.course.statistics import (
    Interval,
    difference_interval,
    error_interval,
    mean_interval,
    paired_answers_interval,
    proportion_interval,
    smallest_error,
)
from minillm.errors import InputError

Verdict = Literal["supported", "refuted", "undecided"]
ERROR = 0.05  # how often a claim may be decided by chance
Values = Any  # a number, a truth, a list or array of either; a dict of these by label for an order


@dataclass(frozen=True)
class Measurement:
    """What a lesson measured for one rule.

    `minus` is subtracted: seed by seed where the rule has pairs, else as another group of runs. A lesson with a
    standard error of its own (a bootstrap, say) gives it with its degrees of freedom.
    """

    values: Values
    minus: Values = None
    standard_error: float | None = None
    dof: float | None = None


@dataclass(frozen=True)
class Result:
    """A verdict, with what it rests on."""

    verdict: Verdict
    measured: str | int | float | None  # the estimate where it is one number, else words
    intervals: tuple[Interval, ...] = ()
    failed: tuple[str, ...] = ()  # the preconditions that did not hold
    p: float | None = None  # None where no interval decides


def apply(rule: Rule, given: Measurement, place: str) -> Result:
    """Decide by the rule; `place` (the claim) begins every message."""

    def at(error: float) -> Result:
        """With this error, which all intervals and looks share."""
        level = 1 - error / (rule.looks * max(1, rule.intervals))
        return (_all if rule.form == "all" else _one)(rule, given, level, place)

    result = at(ERROR)
    if not rule.intervals:
        return result
    return replace(result, p=smallest_error(lambda error: at(error).verdict != "undecided"))


def _all(rule: Rule, given: Measurement, level: float, place: str) -> Result:
    """Every part must be supported; one refuted part refutes. The parts share the error of 5 %."""
    parts = given.values
    if not isinstance(parts, Sequence) or isinstance(parts, str) or len(parts) != len(rule.parts):
        raise InputError(f"{place}: give a list of {len(rule.parts)} measurements, one for each part of the rule.")
    results = []
    for number, (part, value) in enumerate(zip(rule.parts, parts, strict=True), 1):
        measurement = value if isinstance(value, Measurement) else Measurement(value)
        results.append(_one(part, measurement, level, f"{place}, part {number}"))
    said = {result.verdict for result in results}
    verdict: Verdict = "refuted" if "refuted" in said else "undecided" if "undecided" in said else "supported"
    measured = "; ".join(shown(result.measured) for result in results)
    return Result(verdict, measured, sum((result.intervals for result in results), ()))


def _one(rule: Rule, given: Measurement, level: float, place: str) -> Result:
    if rule.form == "order":
        return _order(rule, given, level, place)
    if rule.over:
        interval = _interval(rule, given, level, place)
        return Result(_by_interval(rule, interval), interval.estimate, (interval,))
    if given.minus is not None or given.standard_error is not None or given.dof is not None:
        raise InputError(f"{place}: an exact rule takes values alone; a rule with an interval has `over`.")
    values = _array(given.values, place)
    if rule.form == "holds":
        if values.dtype != bool:
            raise InputError(f"{place}: {given.values!r} is not true or false, which the rule wants.")
        measured = "holds" if values.all() else "does not hold"
        if len(values) > 1:
            measured = f"holds in {values.sum()} of {len(values)}"
        return Result("supported" if values.all() else "refuted", measured)
    if values.dtype == bool:
        raise InputError(f"{place}: {given.values!r} is true or false; the rule wants numbers.")
    supported = all(rule.region.has(value) for value in values.tolist())
    return Result("supported" if supported else "refuted", _range(values))


def _order(rule: Rule, given: Measurement, level: float, place: str) -> Result:
    """Each label's values against the next one's; several values of a label are compared one by one."""
    if not isinstance(given.values, Mapping) or set(given.values) != set(rule.labels):
        raise InputError(f"{place}: give a dict with a measurement for each of {', '.join(rule.labels)}.")
    columns = [_array(given.values[label], place) for label in rule.labels]
    steps = list(pairwise(columns))
    if rule.direction == "falling":
        steps = [(later, earlier) for earlier, later in steps]
    measured = " / ".join(f"{column.mean():.4g}" for column in columns)
    if not rule.over:
        right = all(len(a) == len(b) and (b > a).all() for a, b in steps)
        return Result("supported" if right else "refuted", measured)
    intervals = tuple(_interval(rule, Measurement(b, minus=a), level, place) for a, b in steps)
    said = {_by_interval(rule, interval) for interval in intervals}
    verdict: Verdict = "refuted" if "refuted" in said else "undecided" if "undecided" in said else "supported"
    return Result(verdict, measured, intervals)


def _by_interval(rule: Rule, interval: Interval) -> Verdict:
    if rule.region.beside(interval.low, interval.high):
        return "refuted"
    return "supported" if rule.region.has(interval.low) and rule.region.has(interval.high) else "undecided"


def _interval(rule: Rule, given: Measurement, level: float, place: str) -> Interval:
    """The confidence interval that suits what was measured."""
    values = _array(given.values, place)
    if given.standard_error is not None or given.dof is not None:
        return _own_interval(given, values, level, place)
    groups = [values] if given.minus is None else [values, _array(given.minus, place)]
    if min(map(len, groups)) < 2:
        raise InputError(
            f"{place}: one value has no interval; measure over two {rule.over} or more, or give standard_error and dof."
        )
    truths = {group.dtype == bool for group in groups}
    if len(truths) > 1:
        raise InputError(f"{place}: answers (true or false) and numbers cannot be subtracted; give both alike.")
    if rule.pairs and len(groups) == 2 and len(groups[0]) != len(groups[1]):
        raise InputError(f"{place}: {len(groups[0])} values cannot be paired with {len(groups[1])}.")
    if truths == {True} and len(groups) == 1:
        return proportion_interval(int(values.sum()), len(values), level)
    if truths == {True} and rule.pairs:
        if rule.form not in {"above", "below", "order"} or rule.than != 0:
            raise InputError(f"{place}: paired answers can be compared with 0 only; state the rule so.")
        return paired_answers_interval(groups[0], groups[1], level)
    left, *right = (group.astype(np.float64) for group in groups)
    if not right:
        return mean_interval(left, level)
    return mean_interval(left - right[0], level) if rule.pairs else difference_interval(left, right[0], level)


def _own_interval(given: Measurement, values: np.ndarray, level: float, place: str) -> Interval:
    error, dof = given.standard_error, given.dof
    if error is None or dof is None or len(values) != 1 or given.minus is not None:
        raise InputError(f"{place}: give one value with both standard_error and dof, and nothing to subtract.")
    if not (np.isfinite(error) and error >= 0 and dof >= 1):
        raise InputError(f"{place}: standard_error {error} with dof {dof}; give an error of 0 or more and dof >= 1.")
    return error_interval(float(values[0]), float(error), float(dof), level)


def _array(values: Values, place: str) -> np.ndarray:
    """The measured values as one row of truths or of finite numbers."""
    try:
        array = np.atleast_1d(np.asarray(values))
        array = array if array.dtype == bool else array.astype(np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise InputError(
            f"{place}: measured {values!r}; give finite numbers, or true and false, one for each run. "
            "Let a precondition say when a measurement failed."
        )
    return array


def _range(values: np.ndarray) -> str | float:
    if values.min() == values.max():
        return float(values[0])
    return f"{values.min():.4g} to {values.max():.4g}"


def shown(value: str | int | float | None) -> str:
    """Write a figure short enough for a table; `claims.json` keeps all its digits."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
