"""The commands for teachers: grade, dev new, dev check, dev build."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

commands = typer.Typer()
dev = typer.Typer(help="For teachers: make assignments, prove them, build what is handed out.", no_args_is_help=True)
commands.add_typer(dev, name="dev")

Folder = Annotated[
    Path | None,
    typer.Option("--from", metavar="DIR", help="A folder of your own assignments, instead of minillm's."),
]
Chosen = Annotated[
    list[str] | None, typer.Option("--assignment", metavar="ID", help="Grade only this one; can be repeated.")
]


@commands.command()
def grade(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with a zip or a folder for each student.")],
    out: Annotated[Path, typer.Option("--out", help="The table of grades; reports are written beside it.")] = Path(
        "grades.csv"
    ),
    jobs: Annotated[int, typer.Option("--jobs", help="How many submissions to grade at the same time.")] = 1,
    assignment: Chosen = None,
    named: Annotated[
        bool, typer.Option("--named", help="Each file must fit the variants of the student it is named after.")
    ] = False,
    user: Annotated[
        str | None,
        typer.Option("--user", help="The user that runs the students' code, if you are root; by default nobody."),
    ] = None,
    folder: Folder = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write the results as JUnit XML.")] = None,
    form: Annotated[
        Literal["table", "report", "gradescope", "classroom50"],
        typer.Option("--as", help="Anything but table: DIR is one submission, and OUT a file in this form."),
    ] = "table",
) -> None:
    """Grade what students handed in; a run that was stopped can be continued."""
    from minillm.course.assignments import grading

    user = user or grading.default_user()
    if folder is not None:
        os.environ["MINILLM_ASSIGNMENTS"] = str(folder)  # for the processes that grade, too
    if form == "table":
        raise typer.Exit(grading.grade_class(path, out, jobs, assignment or [], user, named, junit))
    raise typer.Exit(grading.grade_for_service(path, out, form, assignment or [], user, named))


@dev.command("new")
def dev_new(
    name: Annotated[str, typer.Argument(help="A number and a name, like 13_layer_norm.")],
    folder: Annotated[Path, typer.Option("--in", metavar="DIR", help="Where to make it.")] = Path(),
) -> None:
    """Make an assignment that passes `dev check`, for you to change."""
    from minillm.course.assignments import dev

    target = dev.new(name, folder)
    print(f"{target} is made; check it with minillm dev check --from {folder}.")


@dev.command("check")
def dev_check(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="All by default.")] = None,
    folder: Folder = None,
) -> None:
    """Check that stubs fail, solutions pass, each mutant is caught with its own hint, and nothing leaks."""
    from minillm.course.assignments import dev

    raise typer.Exit(dev.check(ids or [], folder))


@dev.command("build")
def dev_build(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    target: Annotated[
        Literal["student", "gradescope", "classroom50"], typer.Option("--target", help="What to build it for.")
    ] = "student",
    assignment: Chosen = None,
    folder: Folder = None,
) -> None:
    """Build the folder for students, or what a grading service runs."""
    from minillm.course.assignments.build import build

    print(f"{build(target, out, assignment or [], folder)} is built.")
