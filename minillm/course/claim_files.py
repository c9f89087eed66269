"""Files of claims: what a lesson says is true and the rule that decides it, written before anything is measured.

Each claim stands in a TOML file beside its lesson, with the rule that decides it, before anything is measured:

    [[claim]]
    id = "recovers"
    statement = "At rank 4 LoRA has at least 90 % of the gain of full fine-tuning of the same matrices"
    chapter = "2.0-2"
    source = "Hu2021, table 4"
    rule = { form = "above", than = 0, of = "gain(R = 4) - 0.9 gain(full)", over = "seeds", pairs = true }
    preconditions = ["learns: full fine-tuning gains more than 0.1 nats per token"]

Identities, arithmetic and agreement of the twins stand in [[check]] tables: nothing is uncertain about them, so their
rules have no interval, they hold or do not, and they are counted apart.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minillm.course.claims import Claim
from minillm.course.rules import read_rule
from minillm.errors import InputError

_TEXTS = ("statement", "source", "published_on", "second_design", "otherwise")
_KEYS = ("id", "statement", "chapter", "source", "published", *_TEXTS[2:], "rule", "preconditions")
_PRECONDITION = re.compile(r"([a-z][a-z_]*): +(\S.*)")
_TAKEN = {"id", "values", "minus", "standard_error", "dof", "measured", "self"}
CHAPTER_NUMBER = re.compile(r"\d+(\.\d+)*-\d+")


def read_claims(path: Path) -> tuple[Claim, ...]:
    """Read the checks and claims of a lesson; what is wrong is said with the file, the claim and the key."""
    if not path.is_file():
        raise InputError(f"{path} is missing; write the lesson's claims there, each as a [[claim]] table.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as a file of claims: {error}.") from error
    for key in content:
        if key not in {"claim", "check"}:
            raise InputError(f"{path}: unknown key {key!r}; the file has [[claim]] and [[check]] tables.")
    if not isinstance(content.get("claim"), list) or not content["claim"]:
        raise InputError(f"{path} has no claim; write each as a [[claim]] table.")
    claims = [
        _read_claim(table, path, number, check=kind == "check")
        for kind in ("check", "claim")
        for number, table in enumerate(content.get(kind, []), 1)
    ]
    for number, claim in enumerate(claims):
        if claim.id in {earlier.id for earlier in claims[:number]}:
            raise InputError(f"{path}: claim {claim.id!r} stands there twice; give each claim its own id.")
    return tuple(claims)


def _read_claim(table: Mapping[str, Any], path: Path, number: int, check: bool) -> Claim:
    id, kind = table.get("id"), "check" if check else "claim"
    if not isinstance(id, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id):
        raise InputError(f"{path}: {kind} {number} has id {id!r}; write lower-case words joined by '-'.")
    place = f"{path}, {kind} {id!r}"
    for key in table:
        if key not in _KEYS:
            raise InputError(f"{place}: unknown key {key!r}; a claim knows {', '.join(_KEYS)}.")
    texts: dict[str, Any] = {key: table.get(key) for key in _TEXTS if key in table or key in _TEXTS[:2]}
    for key, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{place}: {key} is {text!r}; write it as text.")
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
    if check and rule.intervals:
        raise InputError(f"{place}: its rule has an interval; a check is exact, so make it a [[claim]].")
    if "published_on" in texts and published is None:
        raise InputError(f"{place}: published_on says what the published figure is of; give the figure as published.")
    preconditions = _preconditions(table, place)
    return Claim(id, rule=rule, published=published, chapter=chapter, preconditions=preconditions, check=check, **texts)


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
