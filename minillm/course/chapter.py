"""The chapter's statements, in our own words, and the claims of all lessons that decide them.

The statements stand in `lessons/chapter.toml`; a claim names the one that it decides. What the claims came to is read
from the claims.json that each lesson last wrote.
"""

import json
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from minillm.course.claims import CHAPTER_NUMBER, COLOURS, read_claims
from minillm.course.lesson import course_folder, lesson_files
from minillm.course.verdicts import shown
from minillm.errors import InputError

NOT_RUN = "not run"
_KEYS = ("section", "id", "statement", "note")


@dataclass(frozen=True)
class Statement:
    """One statement of the chapter; `note` says where it is wrong or vague as it is made."""

    section: str
    id: str
    statement: str
    note: str = ""


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
        if not CHAPTER_NUMBER.fullmatch(statement.id) or statement.id.rpartition("-")[0] != statement.section:
            raise InputError(f"{place}: its id must be its section {statement.section}, '-' and a number.")
        if statement.id in statements:
            raise InputError(f"{place} stands there twice; give each statement its own number.")
        statements[statement.id] = statement
    return tuple(statements.values())


def last_verdicts(out: Path, folder: Path | None = None) -> list[LastVerdict]:
    """All claims of all lessons, in the chapter's order, with the verdicts of their last runs under `out`."""
    found = []
    for lesson, script in lesson_files(folder).items():
        stated = script.with_suffix(".toml")
        if not stated.is_file():
            continue
        decided = _decided(out / "lessons" / lesson / "claims.json")
        for claim in read_claims(stated):
            # A verdict belongs to the rule it was reached by; a rule that was changed since has not been run.
            record = decided.get(claim.id, {})
            if isinstance(claim.rule, str) or record.get("rule") != claim.rule.as_table():
                record = {}
            verdict = record.get("verdict", NOT_RUN)
            found.append(
                LastVerdict(
                    lesson, claim.id, claim.statement, claim.chapter, claim.source, record.get("measured"), verdict
                )
            )
    return found


def _decided(path: Path) -> dict[str, dict]:
    if not path.is_file():
        return {}
    try:
        return {record["id"]: record for record in json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is not a lesson's claims.json; run the lesson again, or delete it.") from error


def list_claims(out: Path, as_json: bool) -> None:
    """Print all claims of all lessons with their last verdicts."""
    claims = last_verdicts(out)
    if as_json:
        print(json.dumps([asdict(claim) for claim in claims], ensure_ascii=False, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("lesson", no_wrap=True)
    table.add_column("claim", ratio=5)
    table.add_column("chapter", no_wrap=True)
    table.add_column("measured", justify="right", max_width=16)
    table.add_column("verdict", no_wrap=True)
    for claim in claims:
        name = Text.assemble((claim.id, "bold"), "\n", claim.statement)
        cells = (claim.lesson, name, claim.chapter or "", shown(claim.measured))
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells), _coloured(claim.verdict))
    console = Console(highlight=False)
    console.print(table)
    counts = {verdict: sum(claim.verdict == verdict for claim in claims) for verdict in (*COLOURS, NOT_RUN)}
    console.print(f"{len(claims)} claims: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


def walk_chapter(out: Path, as_json: bool) -> None:
    """Print the chapter's statements, each with the claims that decide it, or that it is open."""
    statements, claims = read_chapter(), last_verdicts(out)
    unknown = {claim.chapter for claim in claims if claim.chapter} - {statement.id for statement in statements}
    if unknown:
        raise InputError(f"Claims name statements that the chapter lacks: {', '.join(sorted(unknown))}; mend them.")
    deciding = {statement.id: [claim for claim in claims if claim.chapter == statement.id] for statement in statements}
    if as_json:
        records = [
            {
                **asdict(statement),
                "decided_by": [
                    {"lesson": claim.lesson, "id": claim.id, "verdict": claim.verdict}
                    for claim in deciding[statement.id]
                ],
            }
            for statement in statements
        ]
        print(json.dumps(records, ensure_ascii=False, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("the chapter says", ratio=5)
    table.add_column("decided by", ratio=4)
    for statement in statements:
        says = Text(statement.statement)
        if statement.note:
            says.append(f"\n{statement.note}", style="dim")
        lines = [
            Text.assemble(f"{claim.lesson} {claim.id}: ", _coloured(claim.verdict)) for claim in deciding[statement.id]
        ]
        table.add_row(Text(statement.id), says, Text("\n").join(lines) if lines else Text("open", style="dim"))
    console = Console(highlight=False)
    console.print(table)
    number = sum(map(bool, deciding.values()))
    console.print(f"{len(statements)} statements: {number} with claims, {len(statements) - number} open")


def _coloured(verdict: str) -> Text:
    return Text(verdict, style=COLOURS.get(verdict, "dim"))
