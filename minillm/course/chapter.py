"""The chapter's statements, in our own words, and the claims of all lessons that decide them.

The statements stand in `lessons/chapter.toml`; a claim names the one that it decides. What the claims came to is read
from the claims.json that each lesson last wrote.
"""

import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minillm.course.claim_files import CHAPTER_NUMBER, read_claims
from minillm.course.lesson import lesson_files
from minillm.errors import InputError
from minillm.files import course_folder

NOT_RUN = "not run"
MARKS = ("opinion", "definition", "law", "out of reach")  # what no measurement of ours decides
_KEYS = ("section", "id", "statement", "note", "mark", "why")


@dataclass(frozen=True)
class Statement:
    """One statement of the chapter; `note` says where it is wrong or vague as it is made.

    A statement that no claim can decide has a mark, and a sentence that says why.
    """

    section: str
    id: str
    statement: str
    note: str = ""
    mark: str = ""
    why: str = ""


@dataclass(frozen=True)
class LastVerdict:
    """A claim of a lesson, and what its last run made of it."""

    lesson: str
    id: str
    statement: str
    chapter: str | None
    source: str
    measured: str | int | float | None
    verdict: str
    check: bool = False


def read_chapter(path: Path | None = None) -> tuple[Statement, ...]:
    """Read the chapter's statements; what is wrong is said with the file, the statement and the key."""
    path = path or course_folder("lessons") / "chapter.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as the chapter's statements: {error}.") from error
    for key in content:
        if key != "statement":
            raise InputError(f"{path}: unknown key {key!r}; the file has [[statement]] tables and nothing else.")
    statements: dict[str, Statement] = {}
    for number, table in enumerate(content.get("statement", ()), 1):
        place = f"{path}, statement {table.get('id', number)!r}"
        for key, value in table.items():
            if key not in _KEYS:
                raise InputError(f"{place}: unknown key {key!r}; a statement knows {', '.join(_KEYS)}.")
            if not isinstance(value, str) or not value.strip():
                raise InputError(f"{place}: {key} is {value!r}; write it as text.")
        missing = [key for key in _KEYS[:3] if key not in table]
        if missing:
            raise InputError(f"{place}: {', '.join(missing)} is missing.")
        statement = Statement(**table)
        if statement.mark and statement.mark not in MARKS:
            raise InputError(f"{place}: mark is {statement.mark!r}; choose one of {', '.join(MARKS)}.")
        if bool(statement.mark) != bool(statement.why):
            raise InputError(f"{place}: a mark needs a sentence in why that says why, and why needs a mark.")
        if not CHAPTER_NUMBER.fullmatch(statement.id) or statement.id.rpartition("-")[0] != statement.section:
            raise InputError(f"{place}: its id must be its section {statement.section}, '-' and a number.")
        if statement.id in statements:
            raise InputError(f"{place} stands there twice; give each statement its own number.")
        statements[statement.id] = statement
    return tuple(statements.values())


def last_verdicts(out: Path, folder: Path | None = None) -> list[LastVerdict]:
    """All claims of all lessons, in the chapter's order, with the verdicts of their last runs under `out`."""
    verdicts = []
    for lesson, script in lesson_files(folder).items():
        decided = _decided(out / "lessons" / lesson / "claims.json")
        for claim in read_claims(script.with_suffix(".toml")):
            # A verdict belongs to the rule it was reached by; a rule that was changed since has not been run.
            record = decided.get(claim.id, {})
            if record.get("rule") != claim.rule.as_table():
                record = {}
            verdict = record.get("verdict", NOT_RUN)
            verdicts.append(
                LastVerdict(
                    lesson=lesson,
                    id=claim.id,
                    statement=claim.statement,
                    chapter=claim.chapter,
                    source=claim.source,
                    measured=record.get("measured"),
                    verdict=verdict,
                    check=claim.check,
                )
            )
    return verdicts


def _decided(path: Path) -> dict[str, dict]:
    if not path.is_file():
        return {}
    try:
        return {record["id"]: record for record in json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is not a lesson's claims.json; run the lesson again, or delete it.") from error


def deciding_claims(
    statements: Sequence[Statement], claims: Iterable[LastVerdict]
) -> list[tuple[Statement, list[LastVerdict]]]:
    """Each statement with the claims that decide it; a claim that names a statement there is not is refused."""
    deciding: dict[str, list[LastVerdict]] = {statement.id: [] for statement in statements}
    for claim in claims:
        if claim.chapter and claim.chapter not in deciding:
            raise InputError(
                f"Claim {claim.id!r} of lesson {claim.lesson} names statement {claim.chapter!r}, "
                "which chapter.toml lacks; mend one of them."
            )
        if claim.chapter:
            deciding[claim.chapter].append(claim)
    return [(statement, deciding[statement.id]) for statement in statements]
