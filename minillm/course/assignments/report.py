"""Reports: the outcome of a submission as data, and in the forms that other tools read.

    report.json        everything (schema minillm/report/1)
    results.json       Gradescope
    result.json        Classroom 50 (schema classroom50/result/v1)
    CSV, JUnit XML     a line, or a test suite, for each submission

A student is told what is wrong, but not what the hidden input was: `hidden` leaves verdict, law and hint.
"""

import csv
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ElementTree, SubElement

import numpy as np

import minillm
from minillm.course.assignments.show import array_text, hint_text
from minillm.course.assignments.verdicts import PASS, VERDICTS, Result
from minillm.files import whole_file

SCHEMA = "minillm/report/1"


def as_json(results: Iterable[Result], hidden: bool = False) -> list[dict[str, Any]]:
    """Each result as plain data."""
    return [_plain(result, hidden) for result in results]


def _plain(result: Result, hidden: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "id": result.id,
        "part": result.part,
        "question": result.question,
        "law": result.law,
        "verdict": result.verdict,
        "points": result.points,
        "max": result.most,
        "ms": round(1000 * result.seconds),
    }
    if result.verdict == PASS:
        return plain
    plain |= {"hint": hint_text(result, 1), "mistake": result.mutant, "line": result.line}
    if not hidden or result.call is None:  # a message from a call may be made of the hidden input
        plain["message"] = result.message
    if not hidden and result.call is not None:
        plain["call"] = f"{result.call.function}({', '.join(array_text(x) for x in result.call.args)})"
        plain["got"] = None if result.got is None else array_text(result.got)
        plain["expected"] = None if result.expected is None else array_text(result.expected)
    return plain


def report(student: str, assignments: dict[str, list[dict[str, Any]]], **more: Any) -> dict[str, Any]:
    """The whole of one submission."""
    checks = [check for results in assignments.values() for check in results]
    return {
        "schema": SCHEMA,
        "student": student,
        "points": sum(check["points"] for check in checks),
        "max": sum(check["max"] for check in checks),
        "versions": {"minillm": minillm.__version__, "numpy": np.__version__, "python": platform.python_version()},
        **more,
        "assignments": assignments,
    }


def sentence(check: dict[str, Any]) -> str:
    """What a student reads of one check.

    >>> sentence({"verdict": "timeout", "law": "It ends.", "message": "more than 2 seconds", "line": {}, "hint": ""})
    'It ends.\\nit takes too long (timeout): more than 2 seconds'
    """
    if check["verdict"] == PASS:
        return str(check["law"])
    lines = [check["law"], f"{VERDICTS.get(check['verdict'], '?')} ({check['verdict']})"]
    if check.get("message"):
        lines[-1] += f": {check['message']}"
    if check.get("call"):
        lines.append(f"smallest input: {check['call']}")
    if check.get("line", {}).get("line"):
        lines.append(f"{check['line']['file']}:{check['line']['line']}  {check['line']['text']}")
    if check.get("hint"):
        lines.append(f"hint {check['hint']}")
    return "\n".join(lines)


def gradescope(one: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Gradescope's results.json; the total is the sum of the tests, so it is not given."""
    tests = [
        {
            "name": f"{assignment} {check['question']}{' (JAX)' if check['part'] == 'jax' else ''}",
            "number": f"{i}.{j}",
            "score": check["points"],
            "max_score": check["max"],
            "status": "passed" if check["verdict"] == PASS else "failed",
            "output": sentence(check),
            "visibility": "visible",
            "tags": [check["verdict"]],
        }
        for i, (assignment, checks) in enumerate(one["assignments"].items(), 1)
        for j, check in enumerate(checks, 1)
    ]
    return {
        "execution_time": round(seconds, 2),
        "stdout_visibility": "hidden",
        "output": str(one.get("problem", "")),
        "tests": tests,
    }


def classroom50(one: dict[str, Any]) -> dict[str, Any]:
    """Classroom 50's result.json, from the environment that it gives; scores are whole."""
    env = os.environ.get
    return {
        "schema": "classroom50/result/v1",
        "classroom": env("CLASSROOM", ""),
        "assignment": env("ASSIGNMENT", ""),
        "assignment_type": "individual",
        "owner": env("OWNER", one["student"]),
        "submission": env("SUBMISSION_TAG", "submit/1"),
        "commit": env("COMMIT_URL", ""),
        "release": env("RELEASE_URL", ""),
        "review": env("REVIEW_URL", ""),
        "datetime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "score": int(one["points"]),
        "max-score": int(one["max"]),
        "tests": [
            {
                "test-name": f"{assignment}: {check['part']}.{check['id']}",
                "passed": check["verdict"] == PASS,
                "score": int(check["points"]),
                "max-score": int(check["max"]),
            }
            for assignment, checks in one["assignments"].items()
            for check in checks
        ],
    }


def write_csv(path: Path, reports: list[dict[str, Any]]) -> None:
    """One line for each submission: total, and points of each assignment. Spreadsheets read it, Hangul included."""
    names = list(dict.fromkeys(name for one in reports for name in one["assignments"]))
    with whole_file(path) as part, part.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["student", "points", "max", *names, "problem"])
        for one in sorted(reports, key=lambda one: str(one["student"])):
            each = [sum(c["points"] for c in one["assignments"].get(name, [])) for name in names]
            writer.writerow([_safe(one["student"]), one["points"], one["max"], *each, _safe(one.get("problem", ""))])


def write_junit(path: Path, reports: list[dict[str, Any]]) -> None:
    """A test suite for each submission, in JUnit's XML."""
    suites = Element("testsuites")
    for one in reports:
        checks = [(name, check) for name, results in one["assignments"].items() for check in results]
        failures = sum(check["verdict"] != PASS for _, check in checks)
        counts = {"tests": str(len(checks)), "failures": str(failures)}
        suite = SubElement(suites, "testsuite", {"name": _printable(one["student"]), **counts})
        for name, check in checks:
            about = {"classname": _printable(name), "name": _printable(f"{check['part']}.{check['id']}")}
            case = SubElement(suite, "testcase", {**about, "time": str(check["ms"] / 1000)})
            if check["verdict"] != PASS:
                SubElement(case, "failure", type=check["verdict"], message=_printable(sentence(check)))
    with whole_file(path) as part:
        ElementTree(suites).write(part, encoding="utf-8", xml_declaration=True)


def _safe(text: Any) -> str:
    """A cell that no spreadsheet reads as a formula."""
    return f"'{text}" if str(text)[:1] in "=+-@\t\r" and str(text) else str(text)


def _printable(text: Any) -> str:
    """XML knows no control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in str(text))
