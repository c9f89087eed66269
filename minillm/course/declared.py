"""Claims that a lesson declares in its own code, for lessons without a file of claims beside them."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from minillm.course.claims import Claim, Claims, Figure
from minillm.course.verdicts import Result, Verdict
from minillm.errors import InputError


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


class DeclaredClaims(Claims):
    """Claims with rules in words, whose lesson passes the verdicts."""

    def declare(self, id: str, *, statement: str, source: str, rule: str, published: Figure = None) -> None:
        """Write down, before the run, what is claimed, who says it, and the rule that will decide it."""
        for name, value in {"id": id, "statement": statement, "source": source, "rule": rule}.items():
            if not isinstance(value, str) or not value.strip():
                raise InputError(f"Claim {id!r}: {name} is {value!r}; write it as text.")
        if id in self._claims:
            raise InputError(f"Claim {id!r} is declared twice; give each claim its own id.")
        self._claims[id] = Claim(id, statement, source, rule, _figure(id, "published", published))

    def decide(self, id: str, *, measured: Figure, verdict: Verdict) -> None:  # type: ignore[override]
        """Write down, after the run, what was measured and what the claim's rule says of it."""
        claim = self._open_claim(id)
        if verdict not in get_args(Verdict):
            raise InputError(f"Claim {id!r}: verdict {verdict!r}; choose one of {', '.join(get_args(Verdict))}.")
        self._claims[id] = replace(claim, result=Result(verdict, _figure(id, "measured", measured)))


def _figure(id: str, name: str, value: Any) -> Figure:
    """Check a published or measured figure; NumPy and JAX scalars become plain numbers."""
    if not isinstance(value, str) and hasattr(value, "item") and getattr(value, "size", 1) == 1:
        value = value.item()
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"Claim {id!r}: {name} is {value!r}; give a finite number, a text, or None.")
    return value
