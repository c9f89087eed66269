"""What the student's commands do: init, check, hint, list, reset, solution, submit."""

import json
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from minillm.course.assignments.checking import check_files
from minillm.course.assignments.folder import Assignment
from minillm.course.assignments.report import as_json
from minillm.course.assignments.show import (
    failure_key,
    first_wrong,
    hint_text,
    replay_script,
    show_results,
    total,
)
from minillm.course.assignments.tree import Tree, find_tree, make_tree
from minillm.course.assignments.verdicts import Result
from minillm.errors import InputError, MinillmError
from minillm.files import whole_file


def init(folder: Path, student: str | None) -> None:
    """Make a student's folder and say what to do next."""
    tree = make_tree(folder, student)
    console = _console()
    console.print(f"{len(tree.assignments)} assignments are in {folder}. What to do next:")
    console.print(f"\n    cd {folder}\n    minillm\n", style="bold")
    console.print(
        "It checks the first assignment now, and again whenever you save. README.md in the folder explains the rest."
    )


def check(names: list[str], replay: str | None, as_data: bool) -> int:
    """Check some assignments, or all; 0 if all checks pass, 1 if not."""
    tree, console = find_tree(), _console()
    chosen = [tree.find(name) for name in names] or tree.assignments
    if replay is not None:
        if len(chosen) != 1:
            raise InputError("--replay needs the assignment too: minillm check ID --replay KEY.")
        return write_replay(tree, chosen[0], replay, console)
    state, everything = tree.state(), []
    if names:
        state.current = chosen[-1].id
        tree.remember(state)
    for one in chosen:
        if not as_data and console.is_terminal:
            print(f"checking {one.name} ...", end="\r", flush=True)
        results = check_assignment(tree, one)
        everything += results
        if not as_data:
            show_assignment(tree, one, results, console)
    if as_data:
        print(json.dumps(as_json(everything), ensure_ascii=False, indent=1))
    elif len(chosen) > 1:
        points, most = total(everything)
        console.print(f"\n{points} of {most} points", style="bold")
    return int(any(result.verdict != "pass" for result in everything))


def check_assignment(tree: Tree, assignment: Assignment) -> list[Result]:
    """Check all parts of one assignment and remember the outcome."""
    paths = {part: tree.file(assignment, part) for part in assignment.sources}
    results = list(check_files(assignment, paths, tree.variant(assignment)))
    state = tree.state()
    standing, wrong = tree.standing(state, assignment), first_wrong(results)
    standing.points, standing.most = total(results)
    standing.passed = standing.passed or wrong is None
    about = f"{wrong.part}.{wrong.id}.{wrong.mutant}" if wrong else ""
    if about != standing.wrong:
        standing.wrong, standing.hints = about, 0
    tree.remember(state)
    _keep_failures(tree, assignment, results)
    return results


def show_assignment(tree: Tree, assignment: Assignment, results: list[Result], console: Console) -> None:
    """Show its parts one after the other, with the hint of the level that was asked for."""
    state = tree.state()
    standing = tree.standing(state, assignment)
    standing.hints = max(1, standing.hints)  # it is shown now, so the next one is plainer
    tree.remember(state)
    for part in assignment.sources:
        own = [result for result in results if result.part == part]
        where = f"{assignment.name}/{assignment.file(part)}"
        show_results(console, assignment, part, own, where, standing.hints)


def hint(name: str | None, console: Console | None = None) -> None:
    """Show the next hint for the first failure; the same call again shows a plainer one."""
    tree, console = find_tree(), console or _console()
    state = tree.state()
    one = tree.find(name) if name else tree.current(state)
    wrong = first_wrong(check_assignment(tree, one))
    if wrong is None:
        console.print(f"{one.title}: all checks pass; minillm solution {one.id} shows our solution.")
        return
    state = tree.state()
    standing = tree.standing(state, one)
    standing.hints += 1
    tree.remember(state)
    text = hint_text(wrong, standing.hints)
    if not text:
        raise MinillmError(f"{one.title}: there is no hint for {wrong.question}: {wrong.message or wrong.verdict}.")
    console.print(f"{wrong.question}, hint {text}", markup=False)


def list_assignments(console: Console | None = None) -> None:
    """Show all assignments and the progress in each."""
    tree, bar = find_tree(), console is None
    console = console or _console()
    state = tree.state()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "id", "assignment", "section", "minutes", "points"):
        table.add_column(column, justify="right" if column == "minutes" else "left")
    for one in tree.assignments:
        standing = tree.standing(state, one)
        mark = "✓" if standing.passed else "✗" if standing.most else "·"
        points = f"{standing.points}/{standing.most}" if standing.most else "not checked yet"
        here = " ←" if one.id == tree.current(state).id else ""
        table.add_row(mark, one.number.lstrip("0"), f"{one.title}{here}", one.section, str(one.minutes), points)
    console.print(table)
    if bar:
        console.print(progress(tree), markup=False)


def progress(tree: Tree) -> str:
    """A bar that shows how many assignments are passed."""
    state = tree.state()
    passed = sum(tree.standing(state, one).passed for one in tree.assignments)
    count = len(tree.assignments)
    filled = round(20 * passed / max(count, 1))
    return f"{'█' * filled}{'░' * (20 - filled)} {passed} of {count} passed"


def reset(name: str, console: Console | None = None) -> None:
    """Put an assignment back as it was handed out; the student's files are copied first."""
    tree, console = find_tree(), console or _console()
    one = tree.find(name)
    copies = tree.reset(one)
    kept = f" Your files are copied to {copies.relative_to(tree.folder)}." if copies else ""
    console.print(f"{one.name} is back as it was handed out.{kept}", markup=False, soft_wrap=True)


def solution(name: str, give_up: bool) -> None:
    """Show our solution to a student who has passed or given up."""
    tree = find_tree()
    one = tree.find(name)
    state = tree.state()
    standing = tree.standing(state, one)
    if not (standing.passed or standing.gave_up or give_up):
        raise MinillmError(
            f"{one.title} is not passed yet; minillm hint {one.id} helps, and --give-up shows the solution anyway."
        )
    if give_up and not standing.passed:
        standing.gave_up = True
        tree.remember(state)
    for part in one.sources:
        text = one.solution(part, tree.variant(one))
        if sys.stdout.isatty():
            _console().print(Syntax(text, "python", background_color="default"))
        else:
            print(text)


def submit() -> None:
    """Write the file to hand in, and say what is in it."""
    tree = find_tree()
    path, count = tree.submission()
    state = tree.state()
    passed = sum(tree.standing(state, one).passed for one in tree.assignments)
    _console().print(
        f"{path} holds your {count} files; {passed} of {len(tree.assignments)} assignments were passed.",
        markup=False,
        soft_wrap=True,
    )
    if tree.student is None:
        _console().print("It does not contain your name; hand it in under your name.")


def write_replay(tree: Tree, assignment: Assignment, key: str, console: Console) -> int:
    """Write the script of a failure that a check has shown, and say how to run it."""
    path = tree.hidden / "failures" / f"{key}.json"
    safe = key.replace("-", "").replace("_", "").isalnum()
    try:
        failure: Any = json.loads(path.read_text(encoding="utf-8")) if safe else None
    except (OSError, ValueError):
        failure = None
    if not isinstance(failure, dict) or failure.get("assignment") != assignment.id:
        raise InputError(
            f"There is no failure {key!r} of {assignment.id}; minillm check {assignment.id} lists the failures."
        )
    target = tree.folder / assignment.name / f"replay_{key.replace('-', '_')}.py"
    tree.copy_away(target)
    with whole_file(target) as new:
        new.write_text(failure["script"], encoding="utf-8")
    console.print(f"wrote {target.relative_to(tree.folder)}:\n", markup=False)
    console.print(failure["script"], markup=False, highlight=False, soft_wrap=True)
    console.print(f"Run it with: python {target.relative_to(tree.folder)}", markup=False)
    return 0


def _keep_failures(tree: Tree, assignment: Assignment, results: list[Result]) -> None:
    for result in results:
        if result.verdict != "pass" and result.call is not None:
            script = replay_script(assignment, result.part, result)
            with whole_file(tree.hidden / "failures" / f"{failure_key(result)}.json") as path:
                path.write_text(json.dumps({"assignment": assignment.id, "script": script}), encoding="utf-8")


def _console() -> Console:
    return Console(highlight=False)
