"""The commands for the lessons: `lesson list`, `lesson run`, `lesson step`, and `claims`."""

from pathlib import Path
from typing import Annotated

import typer

from minillm.commands.options import BackendOption, DeviceOption, Json, Out

commands = typer.Typer()
lessons = typer.Typer(help="Read, run and step through the lessons.", no_args_is_help=True)
commands.add_typer(lessons, name="lesson")

Id = Annotated[str, typer.Argument(help="The lesson's section, like 1.0, or the path of a lesson file.")]
Fast = Annotated[bool, typer.Option("--fast", envvar="MINILLM_FAST", help="Smaller samples, same rules.")]


@lessons.command("list")
def lesson_list() -> None:
    """Show the lessons, in the chapter's order."""
    from minillm.course.run import list_lessons

    list_lessons()


@lessons.command("run")
def lesson_run(
    id: Id,
    backend: BackendOption = "jax",
    device: DeviceOption = None,
    fast: Fast = False,
    out: Out = Path("out"),
) -> None:
    """Run a lesson and print its claims; figures and claims.json are written to its folder."""
    from minillm.course.lesson import find_lesson
    from minillm.course.run import run_lesson
    from minillm.course.workspace import Options
    from minillm.training.allocator import keep_freed_memory

    keep_freed_memory()
    run_lesson(find_lesson(id), Options(backend, device, fast, out))


@lessons.command("step")
def lesson_step(
    id: Id,
    backend: BackendOption = "jax",
    device: DeviceOption = None,
    fast: Fast = False,
    out: Out = Path("out"),
) -> None:
    """Step through a lesson: its text, its code, what the code did. Without a terminal it does not wait."""
    from minillm.course.lesson import find_lesson
    from minillm.course.step import step_lesson
    from minillm.course.workspace import Options
    from minillm.training.allocator import keep_freed_memory

    keep_freed_memory()
    step_lesson(find_lesson(id), Options(backend, device, fast, out))


@commands.command()
def claims(
    chapter: Annotated[
        bool, typer.Option("--chapter", help="The chapter's statements, and what decides each.")
    ] = False,
    as_json: Json = False,
    out: Annotated[
        Path, typer.Option("--out", envvar="MINILLM_OUT", help="Where the lessons wrote: OUT/lessons/ID.")
    ] = Path("out"),
) -> None:
    """List the claims of all lessons with the verdicts of their last runs."""
    from minillm.commands.claims import list_claims, walk_chapter

    (walk_chapter if chapter else list_claims)(out, as_json=as_json)
