"""Claims: what a lesson says is true, where that was said, and what came out when it was measured.

The lesson measures, and the rule decides:

    lesson.claims.decide("recovers", gains["R=4"] - 0.9 * gains["full"], learns=gains["full"].min() > 0.1)

"Undecided" is an honest result: the interval lies across the bound, or a precondition failed. A claim that is never
decided is a mistake of the lesson, and so is one that is decided twice or stands in no file.

Who tests twenty claims finds one by chance. So the lesson's last table corrects the p-values of all its intervals by
Holm's method, and a claim that does not survive this is undecided there, whatever was printed when it was measured.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from minillm.course.rules import Rule
from minillm.course.statistics import holm
from minillm.course.verdicts import ERROR, Measurement, Result, Values, apply, shown
from minillm.errors import InputError
from minillm.files import whole_file

Figure = str | int | float | None

COLOURS = {
    "supported": "cyan",
    "holds": "cyan",
    "refuted": "magenta",
    "fails": "magenta",
    "not reproduced at this size": "magenta",
    "undecided": "yellow",
}


@dataclass(frozen=True)
class Claim:
    """One claim; `result` is None until it is decided."""

    id: str
    statement: str
    source: str
    rule: Rule
    published: Figure = None
    chapter: str | None = None  # the chapter's statement that it decides; None where the claim is ours
    published_on: str = ""  # what the published figure is of, where that is larger than anything here
    second_design: str = ""  # why the rule was changed after a run; then it is decided on new seeds
    otherwise: str = ""  # what to believe where the claim is not supported
    preconditions: tuple[tuple[str, str], ...] = ()  # name and words
    check: bool = False  # an identity or arithmetic: nothing is uncertain
    result: Result | None = None
    corrected_p: float | None = None  # by Holm's method, over the lesson's claims; None where no interval decides

    @property
    def rule_in_words(self) -> str:
        """The rule with its preconditions, for a table."""
        needs = "".join(f"; undecided unless {words}" for _, words in self.preconditions)
        second = f"; second design: {self.second_design}" if self.second_design else ""
        return self.rule.in_words() + needs + second

    @property
    def verdict(self) -> str:
        """The verdict as it is told: a check holds or fails, and no small model refutes a large one."""
        assert self.result is not None
        if self.check:
            return {"supported": "holds", "refuted": "fails"}.get(self.result.verdict, self.result.verdict)
        if self.published_on and self.result.verdict == "refuted":
            return "not reproduced at this size"
        return self.result.verdict

    def as_record(self) -> dict[str, Any]:
        """The claim as it is written to claims.json."""
        assert self.result is not None
        intervals = [asdict(interval) for interval in self.result.intervals]
        return {
            "id": self.id,
            "check": self.check,
            "statement": self.statement,
            "chapter": self.chapter,
            "source": self.source,
            "published": self.published,
            "published_on": self.published_on,
            "measured": self.result.measured,
            "intervals": intervals,
            "p": self.result.p,
            "corrected_p": self.corrected_p,
            "verdict": self.verdict,
            "rule": self.rule.as_table(),
            "preconditions": [
                {"says": words, "held": name not in self.result.failed} for name, words in self.preconditions
            ],
        }


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

    def corrected(self) -> list[Claim]:
        """All claims with their last verdicts: p-values corrected for how many of the lesson's claims have one."""
        self.require_decided()
        tested = [claim for claim in self if claim.result and claim.result.p is not None and not claim.result.failed]
        p_values = holm([claim.result.p for claim in tested])  # type: ignore[union-attr, misc]
        corrected = {claim.id: p for claim, p in zip(tested, p_values, strict=True)}
        return [_corrected(claim, corrected.get(claim.id)) for claim in self]

    def table(self) -> Table:
        """Show what was claimed and what came out, as a table for the terminal."""
        claims = self.corrected()
        tests = sum(claim.corrected_p is not None for claim in claims)
        title = f"Claims; p is corrected for {tests} tests" if tests else "Claims"
        table = Table(title=title, box=box.HORIZONTALS, show_lines=True, expand=True, title_justify="left")
        table.add_column("verdict", width=14)
        table.add_column("claim", ratio=1)
        for claim in claims:
            table.add_row(Text(claim.verdict, style=COLOURS[claim.verdict]), _in_full(claim))
        return table

    def before(self) -> Table:
        """Show what is claimed and how it will be decided, before the run."""
        title = "What is claimed, and what decides it"
        table = Table(title=title, box=box.HORIZONTALS, show_lines=True, expand=True, title_justify="left")
        table.add_column("claim", ratio=1)
        table.add_column("rule", ratio=1)
        for claim in self:
            statement = Text.assemble(claim.statement, (f"\n{_sources(claim)}", "dim"))
            table.add_row(statement, Text(claim.rule_in_words))
        return table

    def write(self, path: Path) -> Path:
        """Write the claims as a JSON list of objects, one for each claim; the file appears whole or not."""
        records = [claim.as_record() for claim in self.corrected()]
        with whole_file(path) as temporary:
            text = json.dumps(records, ensure_ascii=False, indent=2, allow_nan=False)
            temporary.write_text(text + "\n", encoding="utf-8")
        return path


def _sources(claim: Claim) -> str:
    """Who says so, and what they measured."""
    published = f"; published: {shown(claim.published)}" if claim.published is not None else ""
    return claim.source + published + (f" ({claim.published_on})" if claim.published_on else "")


def _in_full(claim: Claim) -> Text:
    """A decided claim: statement, measurement, what to believe instead, rule and sources."""
    assert claim.result is not None
    unit = f" {claim.rule.unit}" if claim.rule.unit and isinstance(claim.result.measured, int | float) else ""
    intervals = "".join(f" [{i.low:.3g}, {i.high:.3g}]" for i in claim.result.intervals)
    p = f", p {claim.corrected_p:.2g}" if claim.corrected_p is not None else ""
    text = Text(claim.statement, style="bold")
    text.append(f"\nmeasured {shown(claim.result.measured)}{unit}{intervals}{p}", style="not bold")
    for name, words in claim.preconditions:
        text.append(f"\nnot so: {words}" if name in claim.result.failed else "", style="not bold")
    if claim.otherwise and claim.verdict not in {"supported", "holds"}:
        text.append(f"\n{claim.otherwise}", style="not bold italic")
    return text.append(f"\nrule: {claim.rule_in_words}\nsource: {_sources(claim)}", style="not bold dim")


def _corrected(claim: Claim, p: float | None) -> Claim:
    """The claim, undecided where chance among so many would do as much."""
    if p is None or p <= ERROR:
        return replace(claim, corrected_p=p)
    assert claim.result is not None
    return replace(claim, corrected_p=p, result=replace(claim.result, verdict="undecided"))


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
    p = f", p {result.p:.2g}" if result.p is not None else ""
    return f"{line}{p}: {claim.verdict}{why}"
