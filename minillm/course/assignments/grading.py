"""Grade what students handed in. Each submission has a process of its own, so that none can stop the others.

grades.csv                  one line for each submission
grades_reports/NAME.json    the full report, written when it is done: a run that was stopped goes on after these
grades_reports/seed         the seed of the hidden inputs, drawn once
"""

import hashlib
import json
import os
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import minillm
from minillm.course.assignments import report
from minillm.course.assignments.checking import check_texts
from minillm.course.assignments.driver import Worker
from minillm.course.assignments.folder import assignments, find_assignment
from minillm.course.assignments.search import Effort
from minillm.course.assignments.submissions import read_submission
from minillm.errors import InputError, MinillmError
from minillm.files import whole_file

MOST_SECONDS = 900  # of one submission


def grade_submission(
    path: Path, names: list[str], seed: int | None, user: str | None, named: bool, source: Path | None = None
) -> dict[str, Any]:
    """Grade one submission in this process. Its problems are in the report, never raised."""
    every = assignments(source)
    chosen = [find_assignment(name, every) for name in names] or every
    submission = read_submission(path, chosen)
    # Of a hidden input only the verdict is told, so it need not be a small one.
    effort, began = Effort(seed=seed, shrink=seed is None), time.monotonic()
    student = submission.name if named else submission.owner
    results = {
        one.name: report.as_json(
            check_texts(
                one, {part: submission.texts[one.id, part] for part in one.sources}, one.variant(student), effort, user
            ),
            hidden=seed is not None,
        )
        for one in chosen
    }
    problem = submission.problem
    if not problem and submission.owner and submission.owner.lower() != submission.name.lower():
        problem = f"the folder inside belongs to {submission.owner}"
    seconds = round(time.monotonic() - began, 2)
    more = {"owner": submission.owner, "problem": problem, "seconds": seconds, "seed": seed, "digest": _digest(path)}
    return report.report(submission.name, results, **more)


def grade_for_service(path: Path, out: Path, form: str, names: list[str], user: str | None, named: bool) -> int:
    """Grade one submission in this process and write its report in the form that a grading service reads."""
    if not path.exists():
        raise InputError(f"There is no {path}; give the zip or folder that was handed in.")
    kept = out.with_name(f".{out.name}.seed")
    began = time.monotonic()
    graded = grade_submission(path, names, _seed(kept), user, named)
    if not named and graded["owner"]:  # a service calls every submission alike; whose it is stands inside
        graded |= {"student": graded["owner"], "problem": ""}
    graded["boundary"] = boundary(user)
    seconds = time.monotonic() - began
    shaped = {
        "report": graded,
        "gradescope": report.gradescope(graded, seconds),
        "classroom50": report.classroom50(graded),
    }
    with whole_file(out) as part:
        part.write_text(json.dumps(shaped[form], ensure_ascii=False, indent=1), encoding="utf-8")
    print(f"{graded['student']}: {graded['points']} of {graded['max']} points; {out}")
    return 0


def grade_class(
    folder: Path, out: Path, jobs: int, names: list[str], user: str | None, named: bool, junit: Path | None
) -> int:
    """Grade every zip and folder in a folder, each in a process of its own; 0 when all are graded."""
    if jobs < 1:
        raise InputError(f"--jobs is {jobs}; it must be at least 1.")
    for name in names:
        find_assignment(name, assignments())
    kept = out.with_name(f"{out.stem}_reports")
    handed_in = _handed_in(folder, {path.resolve() for path in (out, kept, junit) if path is not None})
    seed = _seed(kept)
    arguments = [*(part for name in names for part in ("--assignment", name)), "--seed", str(seed)]
    arguments += [*(["--user", user] if user else []), *(["--named"] if named else [])]
    settings = hashlib.sha256(repr((arguments, minillm.__version__)).encode()).hexdigest()[:16]
    done = {path: earlier for path in handed_in if (earlier := _finished(kept, path, settings)) is not None}
    console = Console(stderr=True)
    held = boundary(user)
    console.print(_words(held), markup=False, soft_wrap=True)
    left = [path for path in handed_in if path not in done]
    if done:
        console.print(f"{len(done)} of {len(handed_in)} were graded before; grading the others.")
    columns = (
        TextColumn("grading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=console) as bar, ThreadPoolExecutor(jobs) as pool:
        task = bar.add_task("", total=len(handed_in), completed=len(done), last="")
        futures = {
            pool.submit(_in_own_process, path, arguments, {"settings": settings, "boundary": held}, kept): path
            for path in left
        }
        try:
            for future in as_completed(futures):
                path = futures[future]
                done[path] = future.result()
                bar.update(task, advance=1, last=path.name)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    reports = [done[path] for path in handed_in]
    report.write_csv(out, reports)
    if junit is not None:
        report.write_junit(junit, reports)
    troubled = sum(bool(one.get("problem")) for one in reports)
    print(f"{len(reports)} submissions graded, {troubled} with a problem: {out}; full reports in {kept}")
    return 0


def boundary(user: str | None) -> dict[str, bool | str]:
    """What confines a worker on this machine, as a worker itself reports it."""
    from minillm.course.assignments.driver import Limits

    try:
        with Worker(Limits(user=user)) as worker:
            worker.load("nothing.py", "")
            held = worker.boundary
    except RuntimeError as error:
        raise MinillmError(
            f"No worker can be started{f' as {user}' if user else ''}: {error}. Install minillm where that user "
            "may read it, or name another with --user."
        ) from error
    return {**held, "user": user or "yours"}


def default_user() -> str | None:
    """`nobody` if the grader is root, so that workers are another user; otherwise None: workers run as you."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd

    try:
        return pwd.getpwnam("nobody").pw_name
    except KeyError:
        return None


def _words(held: dict[str, bool | str]) -> str:
    lines = ["Workers have limits on time, memory and output. What the kernel enforces:"]
    lines.append(
        f"  files    {'may read Python and its libraries, nothing else' if held['files'] else 'none (advice only)'}"
    )
    lines.append(f"  calls    {'no network, no processes' if held['calls'] else 'none (advice only)'}")
    lines.append(f"  user     {held['user']}" + ("" if held["user"] != "yours" else " (run as root to use another)"))
    return "\n".join(lines)


def _handed_in(folder: Path, ours: set[Path]) -> list[Path]:
    """All but hidden files and what grading itself writes; a file that is not a zip gets a report that says so."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder with the submissions.")
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.resolve() not in ours)
    if not paths:
        raise InputError(f"{folder} contains no submissions; put a zip or a folder of each student there.")
    names = [_name(path) for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{folder} has more than one submission named {twice[0]}; keep one of them.")
    return paths


def _in_own_process(path: Path, arguments: list[str], more: dict[str, Any], kept: Path) -> dict[str, Any]:
    """Grade in a new process. There is a report even if that process fails."""
    target = kept / f"{_name(path)}.json"
    command = [sys.executable, "-m", "minillm.course.assignments.grade_submission", str(path), *arguments]
    try:
        run = subprocess.run(command, capture_output=True, timeout=MOST_SECONDS, check=False)
        graded: dict[str, Any] = json.loads(run.stdout) if run.returncode == 0 else {}
        trouble = run.stderr.decode("utf-8", "replace").strip()[-300:]
    except (subprocess.TimeoutExpired, ValueError) as error:
        graded, trouble = {}, type(error).__name__
    if not graded:
        graded = report.report(_name(path), {}, problem=f"the grader failed: {trouble}", digest=_digest(path))
    else:
        graded |= more
    with whole_file(target) as part:
        part.write_text(json.dumps(graded, ensure_ascii=False, indent=1), encoding="utf-8")
    return graded


def _finished(kept: Path, path: Path, settings: str) -> dict[str, Any] | None:
    """The report of an earlier run on the very same submission, with the same settings."""
    try:
        earlier: dict[str, Any] = json.loads((kept / f"{_name(path)}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = earlier.get("settings") == settings and earlier.get("digest") == _digest(path)
    return earlier if same else None


def _seed(kept: Path) -> int:
    path = kept / "seed"
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        seed = secrets.randbits(32)
        with whole_file(path) as part:
            part.write_text(str(seed), encoding="utf-8")
        return seed


def _name(path: Path) -> str:
    return path.stem if path.suffix.lower() == ".zip" else path.name


def _digest(path: Path) -> str:
    """Of the bytes of a submission; links are not followed."""
    total = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink()) if path.is_dir() else [path]
    for file in files:
        total.update(str(file.relative_to(path.parent)).encode("utf-8", "surrogateescape"))
        with file.open("rb") as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()
