"""The rule of a claim: what is measured, and what must come out for the claim to be supported.

A rule stands in the claims file before anything is measured, as an inline table:

    rule = { form = "above", than = 0, of = "gain(R = 4) - 0.9 gain(full)", over = "seeds", pairs = true }

With `over` a measurement has a confidence interval (95 %), and the rule asks where the whole interval lies: where the
rule says (supported), on the other side (refuted), or across (undecided). Without it every measured value is a fact,
and the claim is supported if all of them are as the rule says, else refuted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from minillm.errors import InputError

Form = Literal["above", "below", "equal", "between", "order", "holds", "all"]

# The keys that a form needs, and those that it may have beside `of`, `unit` and those of an interval.
_NEEDS: dict[str, set[str]] = {
    "above": {"than"},
    "below": {"than"},
    "equal": {"to"},
    "between": {"low", "high"},
    "order": {"labels", "direction"},
    "holds": set(),
    "all": {"parts"},
}
_MAY = {"above": {"or_equal"}, "below": {"or_equal"}, "equal": {"within"}}
_INTERVAL = {"over", "pairs", "looks"}
_NUMBERS = {"than", "to", "within", "low", "high"}


@dataclass(frozen=True)
class Region:
    """Where a measured value has to lie: between two ends, which belong to it or not."""

    low: float
    high: float
    closed: bool

    def has(self, value: float) -> bool:
        """Whether a value lies inside."""
        return self.low <= value <= self.high if self.closed else self.low < value < self.high

    def beside(self, low: float, high: float) -> bool:
        """Whether an interval lies outside and touches no end."""
        return high < self.low or low > self.high


@dataclass(frozen=True)
class Rule:
    """One rule; which fields it has depends on its form (see `read_rule`)."""

    form: Form
    of: str = ""  # what is measured, in words
    unit: str = ""
    than: float = 0.0
    or_equal: bool = False
    to: float = 0.0
    within: float = 0.0
    low: float = 0.0
    high: float = 0.0
    labels: tuple[str, ...] = ()
    direction: str = ""
    over: str = ""  # what the interval is over: seeds, sentences; "" for exact facts
    pairs: bool = False  # the runs compared share their seeds, or the answers their questions
    looks: int = 1  # how often the data are looked at; the interval is widened by Bonferroni
    parts: tuple["Rule", ...] = ()

    @property
    def region(self) -> Region:
        """Where the measured value has to lie (for an order: each difference)."""
        if self.form == "above":
            return Region(self.than, math.inf, self.or_equal)
        if self.form == "below":
            return Region(-math.inf, self.than, self.or_equal)
        if self.form == "equal":
            return Region(self.to - self.within, self.to + self.within, True)
        if self.form == "between":
            return Region(self.low, self.high, True)
        return Region(0.0, math.inf, False)

    @property
    def intervals(self) -> int:
        """How many confidence intervals decide this rule."""
        if self.form == "all":
            return sum(part.intervals for part in self.parts)
        return 0 if not self.over else max(1, len(self.labels) - 1)

    def in_words(self) -> str:
        """The rule as a sentence of a table.

        >>> Rule("above", of="gain", than=0.5, unit="nats", over="seeds", pairs=True).in_words()
        'gain above 0.5 nats; 95 % interval over seeds, paired'
        """
        if self.form == "all":
            return "; and ".join(part.in_words() for part in self.parts)
        equally = " or equal to" if self.or_equal else ""
        unit = f" {self.unit}" if self.unit else ""
        says = {
            "above": f"above{equally} {_number(self.than)}{unit}",
            "below": f"below{equally} {_number(self.than)}{unit}",
            "equal": f"exactly {_number(self.to)}{unit}",
            "between": f"between {_number(self.low)} and {_number(self.high)}{unit}",
            "order": f"{self.direction} in the order {', '.join(self.labels)}",
            "holds": "holds",
        }[self.form]
        if self.form == "equal" and self.within:
            says = f"{_number(self.to)} to within {_number(self.within)}{unit}"
        looks = f", {self.looks} looks" if self.looks > 1 else ""
        how = f"; 95 % interval over {self.over}{', paired' * self.pairs}{looks}" if self.over else ""
        return f"{self.of or 'it'} {says}{how}"

    def as_table(self) -> dict[str, Any]:
        """The rule as it stands in the claims file."""
        wanted = _keys(self.form)
        table = {field.name: getattr(self, field.name) for field in fields(self) if field.name in wanted}
        plain = Rule(self.form)
        told = {key: value for key, value in table.items() if key in _NEEDS[self.form] or value != getattr(plain, key)}
        if self.form == "all":
            told["parts"] = [part.as_table() for part in self.parts]
        return {"form": self.form} | told


def read_rule(table: object, place: str) -> Rule:
    """Check an inline table of a claims file; `place` (file and claim) begins every message."""
    if not isinstance(table, Mapping):
        raise InputError(f"{place}: rule is {table!r}; write it as a table, like {{ form = 'holds' }}.")
    form: Any = table.get("form")
    if form not in get_args(Form):
        raise InputError(f"{place}: rule has form {form!r}; choose one of {', '.join(get_args(Form))}.")
    for key in table:
        if key not in _keys(form):
            raise InputError(f"{place}: rule has the unknown key {key!r}; {form!r} knows {', '.join(_keys(form))}.")
    missing = [key for key in sorted(_NEEDS[form]) if key not in table]
    if missing:
        raise InputError(f"{place}: rule lacks {', '.join(missing)}, which the form {form!r} needs.")
    values = {key: _checked(key, value, place) for key, value in table.items()}
    rule = Rule(**values)
    _check_sense(rule, table, place)
    return rule


def _keys(form: str) -> list[str]:
    if form == "all":
        return ["form", "parts", "looks"]
    interval = set() if form == "holds" else _INTERVAL
    known = {"form", "of", "unit", *_NEEDS[form], *_MAY.get(form, ()), *interval}
    return [field.name for field in fields(Rule) if field.name in known]


def _checked(key: str, value: Any, place: str) -> Any:
    """One value of a rule, of the kind that its key wants."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if key in _NUMBERS and not (number and math.isfinite(value)):
        raise InputError(f"{place}: rule has {key} = {value!r}; write a finite number.")
    if key in {"pairs", "or_equal"} and not isinstance(value, bool):
        raise InputError(f"{place}: rule has {key} = {value!r}; write true or false.")
    if key == "looks" and not (isinstance(value, int) and number and value >= 1):
        raise InputError(f"{place}: rule has looks = {value!r}; write how often the data are looked at, 1 or more.")
    if key in {"of", "unit", "over"} and not (isinstance(value, str) and value.strip()):
        raise InputError(f"{place}: rule has {key} = {value!r}; write words, or leave {key} out.")
    if key == "direction" and value not in {"rising", "falling"}:
        raise InputError(f"{place}: rule has direction {value!r}; choose rising or falling.")
    if key == "labels":
        texts = isinstance(value, list) and all(isinstance(label, str) for label in value)
        if not texts or len(value) < 2 or len(set(value)) < len(value):
            raise InputError(f"{place}: rule has labels {value!r}; list two or more different texts.")
        return tuple(value)
    if key == "parts":
        if not isinstance(value, list) or len(value) < 2:
            raise InputError(f"{place}: rule has parts = {value!r}; list two or more rules.")
        return tuple(read_rule(part, f"{place}, part {number}") for number, part in enumerate(value, 1))
    return value


def _check_sense(rule: Rule, table: Mapping[str, Any], place: str) -> None:
    """Refuse what each key allows and the whole does not."""
    if rule.low > rule.high:
        raise InputError(f"{place}: rule has low {rule.low} above high {rule.high}; exchange them.")
    if rule.within < 0 or (rule.over and rule.form == "equal" and not rule.within):
        raise InputError(
            f"{place}: rule has within = {rule.within}; an interval is never exactly equal, "
            "so state above 0 how near is near enough."
        )
    if not rule.intervals and (rule.pairs or "looks" in table):
        raise InputError(f"{place}: rule has pairs or looks without over; say what the interval is over.")
    if any(part.looks > 1 or part.form == "all" for part in rule.parts):
        raise InputError(f"{place}: a part has looks or parts of its own; state them for the whole rule.")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
