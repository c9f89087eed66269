"""`minillm claims`: all claims of all lessons, or the chapter's statements and what decides each."""

import json
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from minillm.course.chapter import NOT_RUN, deciding_claims, last_verdicts, read_chapter
from minillm.course.claims import COLOURS
from minillm.course.verdicts import shown


def list_claims(out: Path, *, as_json: bool) -> None:
    """Print all claims of all lessons with their last verdicts."""
    claims = last_verdicts(out)
    if as_json:
        print(json.dumps([asdict(claim) for claim in claims], ensure_ascii=False, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("lesson", "claim", "chapter", "measured", "verdict"):
        table.add_column(column, no_wrap=column not in {"claim", "measured"}, max_width=48)
    for claim in claims:
        name = Text.assemble((claim.id, "bold"), "\n", claim.statement)
        measured = Text(shown(claim.measured))
        table.add_row(Text(claim.lesson), name, Text(claim.chapter or ""), measured, _coloured(claim.verdict))
    console = Console(highlight=False)
    console.print(table)
    for kind, check in (("checks", True), ("claims", False)):
        found = [claim.verdict for claim in claims if claim.check == check]
        counts = [f"{found.count(verdict)} {verdict}" for verdict in (*COLOURS, NOT_RUN) if verdict in found]
        console.print(f"{len(found)} {kind}: " + ", ".join(counts))


def walk_chapter(out: Path, *, as_json: bool) -> None:
    """Print the chapter's statements, each with the claims that decide it, or that it is open."""
    walk = deciding_claims(read_chapter(), last_verdicts(out))
    if as_json:
        records = [asdict(statement) | {"decided_by": [*map(asdict, claims)]} for statement, claims in walk]
        print(json.dumps(records, ensure_ascii=False, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("the chapter says", ratio=5)
    table.add_column("decided by", ratio=4)
    for statement, claims in walk:
        says = Text(statement.statement)
        if statement.note:
            says.append(f"\n{statement.note}", style="dim")
        lines = [Text.assemble(f"{claim.lesson} {claim.id}: ", _coloured(claim.verdict)) for claim in claims]
        if statement.mark:
            lines.append(Text.assemble((f"{statement.mark}: ", "bold"), statement.why))
        table.add_row(Text(statement.id), says, Text("\n").join(lines) if lines else Text("open", style="dim"))
    console = Console(highlight=False)
    console.print(table)
    decided = sum(bool(claims) for _, claims in walk)
    marked = sum(bool(statement.mark) and not claims for statement, claims in walk)
    left = len(walk) - decided - marked
    console.print(f"{len(walk)} statements: {decided} with claims, {marked} marked, {left} open")


def _coloured(verdict: str) -> Text:
    return Text(verdict, style=COLOURS.get(verdict, "dim"))
