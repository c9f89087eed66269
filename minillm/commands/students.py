"""The commands for students: init, check, hint, list, reset, solution, submit."""

from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()

Id = Annotated[str, typer.Argument(help="An assignment's number or name, like 1 or softmax.")]
MaybeId = Annotated[str | None, typer.Argument(help="A number or name; by default the current assignment.")]


@commands.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the assignments.")],
    student: Annotated[
        str | None,
        typer.Option("--student", help="Your name in the course; some details of your assignments depend on it."),
    ] = None,
) -> None:
    """Make a folder with the assignments for you to write."""
    from minillm.course.assignments import student as verbs

    verbs.init(folder, student)


@commands.command()
def check(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Numbers or names; all by default.")
    ] = None,
    replay: Annotated[
        str | None, typer.Option("--replay", metavar="KEY", help="Write a script that repeats a failure.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Check your assignments; shows the smallest input that fails."""
    from minillm.course.assignments import student as verbs

    raise typer.Exit(verbs.check(ids or [], replay, as_json))


@commands.command()
def hint(id: MaybeId = None) -> None:
    """Show a hint for the first failure; again for a plainer one."""
    from minillm.course.assignments import student as verbs

    verbs.hint(id)


@commands.command("list")
def list_() -> None:
    """Show the assignments and your progress."""
    from minillm.course.assignments import student as verbs

    verbs.list_assignments()


@commands.command()
def reset(id: Id) -> None:
    """Put an assignment back as it was handed out; your files are copied first."""
    from minillm.course.assignments import student as verbs

    verbs.reset(id)


@commands.command()
def solution(
    id: Id, give_up: Annotated[bool, typer.Option("--give-up", help="Show it although yours does not pass.")] = False
) -> None:
    """Show our solution, once yours passes."""
    from minillm.course.assignments import student as verbs

    verbs.solution(id, give_up)


@commands.command()
def submit() -> None:
    """Make the one file to hand in."""
    from minillm.course.assignments import student as verbs

    verbs.submit()
