"""Run a lesson's cells, all in one namespace, as if Python ran the file.

The namespace is that of a module named `__main__`, and each cell is compiled with the file's name and its own
first line, so tracebacks, warnings and the debugger show the lesson's lines.
"""

import ast
import json
import sys
import time
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import minillm
from minillm.course.claim_files import read_claims
from minillm.course.claims import Claims
from minillm.course.lesson import Cell, Script, lesson_files, read_lesson
from minillm.course.measure import peak_memory
from minillm.course.workspace import Lesson, Options, in_force
from minillm.errors import InputError, MinillmError
from minillm.files import whole_file

Namespace = dict[str, object]

_LIBRARY = Path(minillm.__file__).parent
_RUNNER = (__file__, *(str(_LIBRARY / name) for name in ("course/step.py", "commands/lessons.py", "commands/main.py")))


class LessonFailed(MinillmError):
    """A cell of a lesson raised, or the lesson did not end as a lesson must."""

    exit_code = 1


def run_lesson(script: Script, options: Options) -> None:
    """Run all cells of a lesson; what it prints goes to stdout, its claims and figures to its folder."""
    print(f"Lesson {script.id}: {script.title} · {script.korean} ({script.time})\n", flush=True)
    show_claims(script)
    draw_to_files()
    began = time.monotonic()
    with in_force(options), as_main(script.path) as namespace:
        for cell in script.cells:
            if cell.kind == "code":
                execute(script, cell, namespace)
        require_finished(script, namespace)
        tell_cost(script, time.monotonic() - began, options)


def tell_cost(script: Script, seconds: float, options: Options) -> None:
    """Say what the run took, and write it beside the claims."""
    peak = peak_memory()
    with whole_file(options.out / "lessons" / script.id / "run.json") as temporary:
        record = {"seconds": round(seconds, 1), "peak_bytes": peak, "fast": options.fast}
        temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(f"Lesson {script.id} took {seconds:.0f} s" + (f" and {peak / 1e9:.1f} GB of memory." if peak else "."))


def show_claims(script: Script, console: Console | None = None) -> None:
    """Print what the lesson will claim and the rules that decide it, before anything is measured."""
    claims = Claims(read_claims(script.path.with_suffix(".toml")))
    (console or Console(highlight=False)).print(claims.before())


def draw_to_files() -> None:
    """Let Matplotlib draw to files, so that a lesson in a terminal opens no window. A notebook keeps its own."""
    import matplotlib

    matplotlib.use("agg")


@contextmanager
def as_main(path: Path) -> Iterator[Namespace]:
    """Give the namespace of a fresh `__main__` module made for this file, and put the old one back."""
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    # dataclasses, pickle and doctest look a class's module up by its name.
    before, arguments = sys.modules["__main__"], sys.argv
    sys.modules["__main__"], sys.argv = module, [str(path)]
    try:
        yield module.__dict__
    finally:
        sys.modules["__main__"], sys.argv = before, arguments


def execute(script: Script, cell: Cell, namespace: Namespace) -> object:
    """Run one cell and give the value of its last expression, as a notebook does (None if there is none).

    An exception shows its traceback on stderr and becomes LessonFailed. What the user can mend (no
    network, no such device, a damaged model) passes through as it is.
    """
    tree = ast.increment_lineno(ast.parse(cell.source), cell.line - 1)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    name = str(script.path)
    try:
        exec(compile(tree, name, "exec", dont_inherit=True), namespace)
        if isinstance(last, ast.Expr):
            return eval(compile(ast.Expression(last.value), name, "eval", dont_inherit=True), namespace)
    except (Exception, SystemExit) as error:
        if isinstance(error, MinillmError) and not isinstance(error, InputError):
            raise
        sys.stdout.flush()
        print(limited_traceback(error, script.path), file=sys.stderr, end="", flush=True)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == name]
        place = f"{shown_path(script.path)}:{lines[-1] if lines else cell.line}"
        raise LessonFailed(f"Lesson {script.id} stopped at {place} ({type(error).__name__}).") from error
    return None


def limited_traceback(error: BaseException, path: Path) -> str:
    """The traceback of a cell, without the frames of the runner and of other people's libraries."""

    def keep(frame: traceback.FrameSummary) -> bool:
        ours = frame.filename == str(path) or Path(frame.filename).is_relative_to(_LIBRARY)
        return ours and frame.filename not in _RUNNER

    def limit(report: traceback.TracebackException | None) -> None:
        if report is not None:
            report.stack = traceback.StackSummary.from_list([frame for frame in report.stack if keep(frame)])
            limit(report.__cause__)
            limit(report.__context__)

    report = traceback.TracebackException.from_exception(error)
    limit(report)
    return "".join(report.format())


def list_lessons() -> None:
    """Print the lessons with their titles, times and what one sees in them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("id", "lesson", "time", "you will see"):
        table.add_column(column, no_wrap=column == "id")
    files = lesson_files()
    if not files:
        raise MinillmError("There are no lessons here; reinstall minillm, or run it from a checkout.")
    for path in files.values():
        script = read_lesson(path)
        title = Text.assemble((script.title, "bold"), "\n", script.korean)
        table.add_row(script.id, title, Text(script.time), Text(script.sees))
    Console(highlight=False).print(table)


def opened_lesson(namespace: Namespace) -> Lesson | None:
    """The object that the lesson opened with `Lesson(...)`, once it has."""
    return next((value for value in namespace.values() if isinstance(value, Lesson)), None)


def require_finished(script: Script, namespace: Namespace) -> None:
    """A lesson that ran to its end must have opened itself and written its claims."""
    lesson, place = opened_lesson(namespace), shown_path(script.path)
    if lesson is None or lesson.id != script.id:
        raise LessonFailed(f"{place} never opens itself; begin it with lesson = Lesson({script.id!r}).")
    if not lesson.finished:
        raise LessonFailed(f"{place} ends without lesson.finish(), which writes its claims; add it at the end.")


def shown_path(path: Path) -> str:
    """A path as a person would write it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
