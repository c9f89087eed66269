"""Claims: what a lesson says is true, where that was said, and what came out when it was measured.

A claim is declared before the run, with the rule that will decide it, and decided after it:

    lesson.claims.declare("sum-vs-mean", statement="...", source="...", published=None, rule="...")
    lesson.claims.decide("sum-vs-mean", measured=0.31, verdict=verdict(contrast=0.31, sigma=0.05))

The verdict has three values. "Undecided" is an honest result (the contrast is within two standard errors,
or a precondition failed); a claim that was declared and never decided is a mistake of the lesson, and so is
one that is decided twice or was never declared.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from rich import box
from rich.table import Table
from rich.text import Text

from minillm.errors import InputError
from minillm.files import whole_file

Verdict = Literal["supported", "refuted", "undecided"]
Figure = str | int | float | None

_COLOURS = {"supported": "green", "refuted": "red", "undecided": "yellow"}


@dataclass(frozen=True)
class Claim:
    """One claim; `verdict` is None between its declaration and its decision."""

    id: str
    statement: str
    source: str
    published: Figure
    measured: Figure
    verdict: Verdict | None
    rule: str


def verdict(contrast: float, sigma: float, preconditions: Mapping[str, bool] | None = None) -> Verdict:
    """Decide a claim that `contrast` is above zero, by its standard error over the seeds.

    Undecided when a precondition (name -> did it hold?) fails or |contrast| <= 2 sigma.

    >>> verdict(0.5, 0.1), verdict(-0.5, 0.1), verdict(0.2, 0.1)
    ('supported', 'refuted', 'undecided')
    >>> verdict(0.5, 0.1, preconditions={"training made progress": False})
    'undecided'
    """
    if not all((preconditions or {}).values()):
        return "undecided"
    contrast, sigma = float(contrast), float(sigma)
    if not (math.isfinite(contrast) and math.isfinite(sigma) and sigma >= 0):
        # nan > 0 is False, which would read as "refuted": a failed measurement is not a verdict.
        raise InputError(
            f"verdict: contrast {contrast} with sigma {sigma}; both must be finite and sigma at least 0. "
            "Let a precondition say when a measurement failed."
        )
    if abs(contrast) <= 2 * sigma:
        return "undecided"
    return "supported" if contrast > 0 else "refuted"


class Claims:
    """The claims of one lesson, in the order of their declaration."""

    def __init__(self) -> None:
        """Begin without claims."""
        self._claims: dict[str, Claim] = {}

    def __iter__(self) -> Iterator[Claim]:
        """Go through the claims in the order of their declaration."""
        return iter(self._claims.values())

    def __len__(self) -> int:
        """Count the declared claims."""
        return len(self._claims)

    def declare(self, id: str, *, statement: str, source: str, rule: str, published: Figure = None) -> None:
        """Write down, before the run, what is claimed, who says it, and the rule that will decide it."""
        for name, value in {"id": id, "statement": statement, "source": source, "rule": rule}.items():
            if not isinstance(value, str) or not value.strip():
                raise InputError(f"Claim {id!r}: {name} is {value!r}; write it as text.")
        if id in self._claims:
            raise InputError(f"Claim {id!r} is declared twice; give each claim its own id.")
        self._claims[id] = Claim(id, statement, source, _figure(id, "published", published), None, None, rule)

    def decide(self, id: str, *, measured: Figure, verdict: Verdict) -> None:
        """Write down, after the run, what was measured and what the claim's rule says of it."""
        if id not in self._claims:
            known = ", ".join(self._claims) or "none"
            raise InputError(f"Claim {id!r} was never declared (declared: {known}); declare it first.")
        claim = self._claims[id]
        if claim.verdict is not None:
            raise InputError(f"Claim {id!r} is decided already ({claim.verdict}); a claim is decided once.")
        if verdict not in get_args(Verdict):
            raise InputError(f"Claim {id!r}: verdict {verdict!r}; choose one of {', '.join(get_args(Verdict))}.")
        self._claims[id] = replace(claim, measured=_figure(id, "measured", measured), verdict=verdict)

    def require_decided(self) -> None:
        """Raise unless every declared claim has its verdict."""
        left = [claim.id for claim in self if claim.verdict is None]
        if left:
            raise InputError(
                f"Declared but never decided: {', '.join(left)}; call claims.decide for each, "
                "with verdict 'undecided' where the run cannot tell."
            )

    def table(self) -> Table:
        """Show the claims as a table for the terminal."""
        table = Table(title="Claims", box=box.HORIZONTALS, show_lines=True, expand=True, title_justify="left")
        table.add_column("statement", ratio=5)
        table.add_column("source", ratio=3, style="dim")
        table.add_column("published", width=10, justify="right")
        table.add_column("measured", width=10, justify="right")
        table.add_column("verdict", width=10, no_wrap=True)
        for claim in self:
            said = Text(claim.verdict or "-", style=_COLOURS.get(claim.verdict or "", ""))
            cells = (claim.statement, claim.source, _shown(claim.published), _shown(claim.measured))
            table.add_row(*map(Text, cells), said)
        return table

    def write(self, path: Path) -> Path:
        """Write the claims as a JSON list of objects, one for each claim; the file appears whole or not."""
        self.require_decided()
        text = json.dumps([asdict(claim) for claim in self], ensure_ascii=False, indent=2, allow_nan=False)
        with whole_file(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        return path


def _figure(id: str, name: str, value: object) -> Figure:
    """Check a published or measured figure; NumPy and JAX scalars become plain numbers."""
    if not isinstance(value, str) and hasattr(value, "item") and getattr(value, "size", 1) == 1:
        value = value.item()
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"Claim {id!r}: {name} is {value!r}; give a finite number, a text, or None.")
    return value


def _shown(value: Figure) -> str:
    """Write a figure short enough for the table; `claims.json` keeps all its digits."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
