"""Claims: what a lesson says is true, where that was said, and what came out when it was measured.

Each claim stands in a TOML file beside its lesson, with the rule that decides it, before anything is measured:

    [[claim]]
    id = "recovers"
    statement = "At rank 4 LoRA has at least 90 % of the gain of full fine-tuning of the same matrices"
    chapter = "2.0-2"
    source = "Hu2021, table 4"
    rule = { form = "above", than = 0, of = "gain(R = 4) - 0.9 gain(full)", over = "seeds", pairs = true }
    preconditions = ["learns: full fine-tuning gains more than 0.1 nats per token"]

The lesson measures, and the rule decides:

    lesson.claims.decide("recovers", gains["R=4"] - 0.9 * gains["full"], learns=gains["full"].min() > 0.1)

"Undecided" is an honest result: the interval lies across the bound, or a precondition failed. A claim that is never
decided is a mistake of the lesson, and so is one that is decided twice or stands in no file.
"""

import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from minillm.course.rules import Rule, read_rule
from minillm.course.verdicts import Measurement, Result, Values, apply, shown
from minillm.errors import InputError
from minillm.files import whole_file

Figure = str | int | float | None

COLOURS = {"supported": "green", "refuted": "red", "undecided": "yellow"}
_KEYS = ("id", "statement", "chapter", "source", "published", "rule", "preconditions")
_PRECONDITION = re.compile(r"([a-z][a-z_]*): +(\S.*)")
_TAKEN = {"id", "values", "minus", "standard_error", "dof", "measured", "self"}
CHAPTER_NUMBER = re.compile(r"\d+(\.\d+)*-\d+")


@dataclass(frozen=True)
class Claim:
    """One claim; `result` is None until it is decided."""

    id: str
    statement: str
    source: str
    rule: Rule
    published: Figure = None
    chapter: str | None = None  # the chapter's statement that it decides; None where the claim is ours
    preconditions: tuple[tuple[str, str], ...] = ()  # name and words
    result: Result | None = None

    @property
    def rule_in_words(self) -> str:
        """The rule with its preconditions, for a table."""
        needs = "".join(f"; undecided unless {words}" for _, words in self.preconditions)
        return self.rule.in_words() + needs

    def as_record(self) -> dict[str, Any]:
        """The claim as it is written to claims.json."""
        assert self.result is not None
        intervals = [asdict(interval) for interval in self.result.intervals]
        return {
            "id": self.id,
            "statement": self.statement,
            "chapter": self.chapter,
            "source": self.source,
            "published": self.published,
            "measured": self.result.measured,
            "intervals": intervals,
            "verdict": self.result.verdict,
            "rule": self.rule.as_table(),
            "preconditions": [
                {"says": words, "held": name not in self.result.failed} for name, words in self.preconditions
            ],
        }


def read_claims(path: Path) -> tuple[Claim, ...]:
    """Read the claims of a lesson; what is wrong is said with the file, the claim and the key."""
    if not path.is_file():
        raise InputError(f"{path} is missing; write the lesson's claims there, each as a [[claim]] table.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as a file of claims: {error}.") from error
    for key in content:
        if key != "claim":
            raise InputError(f"{path}: unknown key {key!r}; the file has [[claim]] tables and nothing else.")
    tables = content.get("claim")
    if not isinstance(tables, list) or not tables:
        raise InputError(f"{path} has no claim; write each as a [[claim]] table.")
    claims = [_read_claim(table, path, number) for number, table in enumerate(tables, 1)]
    for number, claim in enumerate(claims):
        if claim.id in {earlier.id for earlier in claims[:number]}:
            raise InputError(f"{path}: claim {claim.id!r} stands there twice; give each claim its own id.")
    return tuple(claims)


def _read_claim(table: Mapping[str, Any], path: Path, number: int) -> Claim:
    id = table.get("id")
    if not isinstance(id, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id):
        raise InputError(f"{path}: claim {number} has id {id!r}; write lower-case words joined by '-'.")
    place = f"{path}, claim {id!r}"
    for key in table:
        if key not in _KEYS:
            raise InputError(f"{place}: unknown key {key!r}; a claim knows {', '.join(_KEYS)}.")
    for key in ("statement", "source"):
        if not isinstance(table.get(key), str) or not table[key].strip():
            raise InputError(f"{place}: {key} is {table.get(key)!r}; write it as text.")
    chapter, published = table.get("chapter"), table.get("published")
    if "chapter" in table and not (isinstance(chapter, str) and CHAPTER_NUMBER.fullmatch(chapter)):
        raise InputError(
            f"{place}: chapter is {chapter!r}; write a statement's number, like '2.1.2-1', "
            "or leave it out where the claim is ours."
        )
    is_figure = isinstance(published, str | int | float | None) and not isinstance(published, bool)
    if not is_figure or (isinstance(published, float) and not math.isfinite(published)):
        raise InputError(f"{place}: published is {published!r}; write a finite number or a text, or leave it out.")
    if "rule" not in table:
        raise InputError(f"{place}: rule is missing; state what decides the claim.")
    rule = read_rule(table["rule"], place)
    return Claim(id, table["statement"], table["source"], rule, published, chapter, _preconditions(table, place))


def _preconditions(table: Mapping[str, Any], place: str) -> tuple[tuple[str, str], ...]:
    texts = table.get("preconditions", [])
    if not isinstance(texts, list):
        raise InputError(f"{place}: preconditions is {texts!r}; write a list of texts.")
    named: dict[str, str] = {}
    for text in texts:
        match = _PRECONDITION.fullmatch(text) if isinstance(text, str) else None
        if match is None or match[1] in _TAKEN or match[1] in named:
            raise InputError(
                f"{place}: precondition {text!r}; write 'name: what must hold', where the name is one word "
                "that no other precondition and no argument of `decide` has."
            )
        named[match[1]] = match[2]
    return tuple(named.items())


class Claims:
    """The claims of one lesson, in the order of their file."""

    def __init__(self, claims: Iterable[Claim]) -> None:
        """Begin with the claims that a file states."""
        self._claims = {claim.id: claim for claim in claims}

    def __iter__(self) -> Iterator[Claim]:
        """Go through the claims in order."""
        return iter(self._claims.values())

    def decide(
        self,
        id: str,
        values: Values,
        *,
        minus: Values = None,
        standard_error: float | None = None,
        dof: float | None = None,
        measured: str | None = None,
        **preconditions: bool,
    ) -> None:
        """Give what was measured for a claim; its rule decides, and the outcome is printed.

        `measured` is shown in the tables instead of the estimate. Each precondition of the claim is given by
        its name. Where one does not hold, values may be None, since there may be nothing to measure.
        """
        claim = self._open_claim(id)
        failed = self._failed(claim, preconditions)
        if failed and values is None:
            result = Result("undecided", None)
        else:
            given = Measurement(values, minus, standard_error, dof)
            result = apply(claim.rule, given, f"Claim {id!r}")
        result = replace(result, measured=result.measured if measured is None else measured, failed=failed)
        result = replace(result, verdict="undecided") if failed else result
        self._claims[id] = replace(claim, result=result)
        print(_outcome(self._claims[id]))

    def _open_claim(self, id: str) -> Claim:
        if id not in self._claims:
            known = ", ".join(self._claims) or "none"
            raise InputError(f"Claim {id!r} stands in no file of claims (there are: {known}); write it there first.")
        claim = self._claims[id]
        if claim.result is not None:
            raise InputError(f"Claim {id!r} is decided already ({claim.result.verdict}); a claim is decided once.")
        return claim

    @staticmethod
    def _failed(claim: Claim, given: Mapping[str, bool]) -> tuple[str, ...]:
        names = {name for name, _ in claim.preconditions}
        for name in sorted(names ^ set(given)):
            what = "was not given" if name in names else "is not one of its preconditions"
            raise InputError(f"Claim {claim.id!r}: {name!r} {what}; its file names {sorted(names) or 'none'}.")
        for name, held in given.items():
            if not isinstance(held, bool | np.bool_):
                raise InputError(f"Claim {claim.id!r}: precondition {name!r} is {held!r}; give True or False.")
        return tuple(name for name, held in given.items() if not held)

    def require_decided(self) -> None:
        """Raise unless every claim has its verdict."""
        left = [claim.id for claim in self if claim.result is None]
        if left:
            raise InputError(
                f"Claims never decided: {', '.join(left)}; call claims.decide for each, "
                "with a precondition that fails where the run cannot tell."
            )

    def table(self) -> Table:
        """Show what was claimed and what came out, as a table for the terminal."""
        table = _empty_table("Claims")
        table.add_column("published", width=10, justify="right")
        table.add_column("measured", width=10, justify="right")
        table.add_column("verdict", width=10, no_wrap=True)
        for claim in self:
            verdict, measured = (claim.result.verdict, claim.result.measured) if claim.result else ("-", None)
            cells = (claim.statement, claim.source, shown(claim.published), shown(measured))
            table.add_row(*map(Text, cells), Text(verdict, style=COLOURS.get(verdict, "")))
        return table

    def before(self) -> Table:
        """Show what is claimed and how it will be decided, before the run."""
        table = _empty_table("What is claimed, and what decides it")
        table.add_column("published", width=10, justify="right")
        table.add_column("rule", ratio=5)
        for claim in self:
            table.add_row(*map(Text, (claim.statement, claim.source, shown(claim.published), claim.rule_in_words)))
        return table

    def write(self, path: Path) -> Path:
        """Write the claims as a JSON list of objects, one for each claim; the file appears whole or not."""
        self.require_decided()
        records = [claim.as_record() for claim in self]
        with whole_file(path) as temporary:
            text = json.dumps(records, ensure_ascii=False, indent=2, allow_nan=False)
            temporary.write_text(text + "\n", encoding="utf-8")
        return path


def _empty_table(title: str) -> Table:
    table = Table(title=title, box=box.HORIZONTALS, show_lines=True, expand=True, title_justify="left")
    table.add_column("statement", ratio=5)
    table.add_column("source", ratio=3, style="dim")
    return table


def _outcome(claim: Claim) -> str:
    """One line: measurement, interval, verdict."""
    assert claim.result is not None
    result, rule = claim.result, claim.rule
    unit = f" {rule.unit}" if rule.unit and isinstance(result.measured, int | float) else ""
    line = f"{claim.id}: {shown(result.measured)}{unit}"
    for interval in result.intervals:
        line += f" [{interval.low:.3g}, {interval.high:.3g}]"
    words = dict(claim.preconditions)
    why = "".join(f"; not so: {words[name]}" for name in result.failed)
    return f"{line}: {result.verdict}{why}"
