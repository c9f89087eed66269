"""The command `minillm`: the groups of commands, joined, and how it ends.

What is slow (JAX, the lessons, the models) is imported inside the commands, so `minillm --help` is quick.
"""

import os
import sys
from typing import Annotated

import typer

import minillm
from minillm.commands import benchmarks, doctor, lessons, students, talk, teachers, training
from minillm.errors import MinillmError

app = typer.Typer(
    help="The chapter on large language models that one can run. Alone, in a folder of assignments, it watches them.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (lessons, talk, training, students, teachers, benchmarks, doctor):
    app.add_typer(group.commands)


def _version(asked: bool) -> None:
    if asked:
        print(f"minillm {minillm.__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Read the options before the command; without a command, watch the assignments here, or say what there is."""
    if context.invoked_subcommand is not None:
        return
    from minillm.course.assignments.tree import in_tree

    if not in_tree():
        print(context.get_help())
        raise typer.Exit(2)
    from minillm.course.assignments.watch import watch

    watch()


def main(arguments: list[str] | None = None) -> int:
    """Run the command and give its exit status: 0 on success, 2 for bad input, 3 for a missing device."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")  # Hangul in a pipe, on any system
    try:
        app(arguments, prog_name="minillm")
    except SystemExit as end:  # typer's own: also for wrong usage (2), Ctrl-C (130) and a closed pipe (1)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except MinillmError as error:
        print(f"minillm: {error}", file=sys.stderr)
        status = error.exit_code
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the pipe has left. Without this, Python complains once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = status or 1
    return status


if __name__ == "__main__":
    sys.exit(main())
