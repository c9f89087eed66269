"""Grading: a table that one bad submission, a kill or a strange name does not spoil; and the forms of other tools."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from xml.etree import ElementTree

import pytest

from minillm.commands.main import main
from minillm.course.assignments import report
from minillm.course.assignments.build import build
from minillm.course.assignments.grading import default_user, grade_submission
from minillm.course.assignments.tree import make_tree
from minillm.errors import InputError

CHOSEN = ["--assignment", "power_law", "--assignment", "top_p"]


def handed_in(folder, student, *solved, name=None, marked=True):
    """A student's zip with some assignments solved."""
    tree = make_tree(folder / f"of_{student}", student if marked else None)
    for one in map(tree.find, solved):
        for part in one.sources:
            tree.file(one, part).write_text(one.solution(part, tree.variant(one)), encoding="utf-8")
    path, _ = tree.submission()
    (folder / "in").mkdir(exist_ok=True)
    return path.rename(folder / "in" / f"{name or student}.zip")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Five submissions: all right, half, none, and two that are no zip."""
    folder = tmp_path_factory.mktemp("course")
    handed_in(folder, "kim", "power_law", "top_p")
    handed_in(folder, "lee", "power_law")
    handed_in(folder, "park")
    (folder / "in" / "hostile.zip").write_bytes(b"no zip")
    (folder / "in" / "choi.tar.gz").write_bytes(b"no zip either")
    (folder / "in" / ".DS_Store").write_bytes(b"")
    return folder


def table(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def graded(course):
    out = course / "grades.csv"
    assert (
        main(["grade", str(course / "in"), "--out", str(out), "--jobs", "2", "--junit", str(course / "g.xml"), *CHOSEN])
        == 0
    )
    return out


def test_the_table_has_everyone(graded):
    rows = {row["student"]: row for row in table(graded)}
    assert list(rows) == ["choi.tar.gz", "hostile", "kim", "lee", "park"]
    assert [rows[name]["points"] for name in rows] == ["0", "0", "20", "10", "0"]
    assert rows["choi.tar.gz"]["problem"]
    assert {row["max"] for row in rows.values()} == {"20"}
    assert (rows["lee"]["07_power_law"], rows["lee"]["12_top_p"]) == ("10", "0")
    assert rows["hostile"]["problem"].startswith("hostile.zip is not a readable zip") and not rows["kim"]["problem"]
    assert graded.read_bytes().startswith(b"\xef\xbb\xbf")  # so that spreadsheets read it as UTF-8


def test_a_report_tells_verdict_law_and_hint_but_no_hidden_input(graded):
    found = json.loads((graded.parent / "grades_reports" / "lee.json").read_text(encoding="utf-8"))
    assert found["schema"] == "minillm/report/1" and found["points"] == 10
    wrong = found["assignments"]["12_top_p"]
    assert {check["verdict"] for check in wrong} == {"not_implemented"}
    assert not any("call" in check or "expected" in check for check in wrong)


def test_a_wrong_answer_to_a_hidden_input_keeps_the_input(tmp_path):
    (tmp_path / "kim").mkdir()
    text = "def fit_power_law(x, losses, e):\n    raise ValueError(x)\ndef huber(r, delta):\n    return r * delta\n"
    (tmp_path / "kim" / "power_law.py").write_text(text, encoding="utf-8")
    hidden, shown = (grade_submission(tmp_path / "kim", ["power_law"], seed, None, named=False) for seed in (7, None))
    for check in hidden["assignments"]["07_power_law"]:
        assert check["verdict"] in ("exception", "wrong_value") and check["hint"] and check["line"]
        assert {"call", "got", "expected", "message"}.isdisjoint(check)
    assert all("call" in check and "message" in check for check in shown["assignments"]["07_power_law"])


def test_junit_is_xml(graded):
    suites = ElementTree.parse(graded.parent / "g.xml").getroot()
    assert {suite.get("name"): suite.get("failures") for suite in suites}["kim"] == "0"
    assert all(case.find("failure") is not None for suite in suites if suite.get("name") == "park" for case in suite)


def test_a_second_run_grades_only_what_is_new(course, graded):
    reports = graded.parent / "grades_reports"
    before = {path.name: path.stat().st_mtime_ns for path in reports.glob("*.json")}
    (reports / "park.json").write_text("{half", encoding="utf-8")  # as a full disk might leave it
    (course / "later").mkdir()
    handed_in(course / "later", "lee", "power_law", "top_p").replace(course / "in" / "lee.zip")
    assert main(["grade", str(course / "in"), "--out", str(graded), *CHOSEN]) == 0
    after = {path.name: path.stat().st_mtime_ns for path in reports.glob("*.json")}
    assert {name for name in before if before[name] != after[name]} == {"lee.json", "park.json"}
    assert {row["student"]: row["points"] for row in table(graded)}["lee"] == "20"


def test_a_killed_run_goes_on(course, tmp_path):
    command = [
        sys.executable,
        "-m",
        "minillm",
        "grade",
        str(course / "in"),
        "--out",
        str(tmp_path / "grades.csv"),
    ]
    process = subprocess.Popen([*command, *CHOSEN], stderr=subprocess.DEVNULL, process_group=0)
    reports, end = tmp_path / "grades_reports", time.monotonic() + 100
    while not list(reports.glob("[!.]*.json")):
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "grades.csv").exists()
    done = {path.name: path.stat().st_mtime_ns for path in reports.glob("[!.]*.json")}
    run = subprocess.run([*command, *CHOSEN], capture_output=True, text=True, check=True)
    assert f"{len(done)} of 5 were graded before" in run.stderr
    assert all((reports / name).stat().st_mtime_ns == stamp for name, stamp in done.items())
    assert len(table(tmp_path / "grades.csv")) == 5


def test_a_seed_is_drawn_once_and_kept(graded, tmp_path, course):
    seed = (graded.parent / "grades_reports" / "seed").read_text(encoding="utf-8")
    found = json.loads((graded.parent / "grades_reports" / "kim.json").read_text(encoding="utf-8"))
    assert found["seed"] == int(seed)
    assert main(["grade", str(course / "in"), "--out", str(tmp_path / "g.csv"), "--assignment", "power_law"]) == 0
    assert (tmp_path / "g_reports" / "seed").read_text(encoding="utf-8") != seed


def test_the_folder_of_another_does_not_fit(course, tmp_path):
    """Handed in under another name it has a problem; and graded by name, another's details are wrong ones."""
    details = {name: make_tree(tmp_path / name, name) for name in (f"s{i}" for i in range(12))}
    first = details["s0"]
    other = next(
        tree
        for tree in details.values()
        if tree.variant(tree.find("power_law")) != first.variant(first.find("power_law"))
    )
    path = handed_in(tmp_path, first.student, "power_law", name=other.student)
    found = grade_submission(path, ["power_law"], 1, None, named=False)
    assert found["points"] == 10 and found["problem"] == "the folder inside belongs to s0"
    assert grade_submission(path, ["power_law"], 1, None, named=True)["points"] < 10
    (tmp_path / "unmarked").mkdir()
    plain = handed_in(tmp_path / "unmarked", "lee", "power_law", marked=False)
    assert (
        grade_submission(plain, ["power_law"], 1, None, named=False)["points"] == 10
    )  # the default for one without a name


def test_what_cannot_be_graded_says_so(tmp_path, capsys):
    assert main(["grade", str(tmp_path / "nowhere")]) == 2
    assert "is not a folder; give the folder with the submissions" in capsys.readouterr().err
    assert main(["grade", str(tmp_path)]) == 2
    assert "contains no submissions" in capsys.readouterr().err
    assert main(["grade", str(tmp_path), "--assignment", "nothing"]) == 2
    assert "There is no assignment 'nothing'" in capsys.readouterr().err
    (tmp_path / "kim").mkdir()
    (tmp_path / "kim.zip").write_bytes(b"")
    assert main(["grade", str(tmp_path)]) == 2
    assert "more than one submission named kim" in capsys.readouterr().err
    assert main(["grade", str(tmp_path), "--jobs", "0"]) == 2
    assert (
        main(
            [
                "grade",
                str(tmp_path / "kim"),
                "--user",
                "nobody-of-that-name",
                "--as",
                "report",
                "--out",
                str(tmp_path / "r"),
            ]
        )
        == 2
    )
    assert "There is no user nobody-of-that-name here" in capsys.readouterr().err


def test_a_cell_is_no_formula(tmp_path):
    one = report.report("=cmd()", {}, problem="+1")
    report.write_csv(tmp_path / "g.csv", [one])
    row = table(tmp_path / "g.csv")[0]
    assert (row["student"], row["problem"]) == ("'=cmd()", "'+1")


def test_xml_survives_what_students_write(tmp_path):
    check = {
        "id": "a.b",
        "part": "numpy",
        "question": "a",
        "law": "<&>",
        "verdict": "exception",
        "points": 0,
        "max": 1,
        "ms": 1,
    }
    one = report.report('k"im', {"01_a": [{**check, "message": "\x00\x1b[31m]]>", "line": {}, "hint": ""}]})
    report.write_junit(tmp_path / "g.xml", [one])
    assert ElementTree.parse(tmp_path / "g.xml").getroot()[0].get("name") == 'k"im'


# Other tools


def test_gradescope_reads_it(course, tmp_path):
    out = tmp_path / "results.json"
    zip_file = next(path for path in (course / "in").glob("kim.zip"))
    assert main(["grade", str(zip_file), "--as", "gradescope", "--out", str(out), *CHOSEN]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (
        found["stdout_visibility"] == "hidden" and "score" not in found and isinstance(found["execution_time"], float)
    )
    assert sum(test["score"] for test in found["tests"]) == sum(test["max_score"] for test in found["tests"]) == 20
    assert {test["status"] for test in found["tests"]} == {"passed"}
    assert {test["visibility"] for test in found["tests"]} == {"visible"}


def test_classroom50_reads_it(course, tmp_path, monkeypatch):
    for name, value in {"CLASSROOM": "llm", "ASSIGNMENT": "one", "OWNER": "park", "SUBMISSION_TAG": "submit/3"}.items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "result.json"
    assert main(["grade", str(course / "in" / "park.zip"), "--as", "classroom50", "--out", str(out), *CHOSEN]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    required = "schema classroom assignment assignment_type owner submission commit release review datetime score"
    assert {*required.split(), "max-score", "tests"} <= set(found) and found["schema"] == "classroom50/result/v1"
    assert (found["owner"], found["submission"], found["score"], found["max-score"]) == ("park", "submit/3", 0, 20)
    assert all(isinstance(test["score"], int) and test["passed"] is False for test in found["tests"])


def test_the_gradescope_build_grades(course, tmp_path):
    """Its zip unpacked as Gradescope does it; the environment stands in for the one that setup.sh would install."""
    built = build("gradescope", tmp_path / "built", ["power_law"])
    root = tmp_path / "autograder"
    with zipfile.ZipFile(built) as archive:
        assert {"setup.sh", "run_autograder"} <= set(archive.namelist())
        assert not any("__pycache__" in name or "/." in name for name in archive.namelist())
        archive.extractall(root / "source")
    (root / "venv" / "bin").mkdir(parents=True)
    (root / "venv" / "bin" / "minillm").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m minillm "$@"\n', encoding="utf-8"
    )
    (root / "venv" / "bin" / "minillm").chmod(0o755)
    shutil.unpack_archive(course / "in" / "kim.zip", root / "submission")
    environment = {**os.environ, "AUTOGRADER_ROOT": str(root), "AUTOGRADER_USER": default_user() or ""}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    subprocess.run(["bash", str(root / "source" / "run_autograder")], env=environment, check=True)
    found = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    assert found["output"] == ""  # the folder is called "submission" for everyone, which is no problem
    assert sum(test["score"] for test in found["tests"]) == 10
    subprocess.run(["bash", "-n", str(root / "source" / "setup.sh")], check=True)


def test_the_classroom50_build_grades(course, tmp_path):
    built = build("classroom50", tmp_path / "built", ["power_law"])
    (tmp_path / "work").mkdir()
    shutil.unpack_archive(course / "in" / "kim.zip", tmp_path / "work")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OWNER": "kim"}
    subprocess.run([sys.executable, str(built / "autograder.py")], cwd=tmp_path / "work", env=environment, check=True)
    found = json.loads((tmp_path / "work" / "result.json").read_text(encoding="utf-8"))
    assert (found["owner"], found["score"], len(found["tests"])) == ("kim", 10, 3)


def test_a_build_overwrites_nothing(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists already; choose a new folder"):
        build("student", tmp_path / "there", [])
    tree = build("student", tmp_path / "new", [])
    assert (tree / "minillm.toml").is_file() and (tree / "01_softmax" / "softmax.py").is_file()


def test_a_new_assignment_proves_itself(tmp_path, capsys, monkeypatch):
    assert main(["dev", "new", "13_twice", "--in", str(tmp_path)]) == 0
    assert main(["dev", "check", "--from", str(tmp_path)]) == 0
    assert "All checks passed." in capsys.readouterr().out
    mutant = tmp_path / "13_twice" / "mutants" / "right.py"
    mutant.write_text('"""Not wrong at all."""\n\nCHANGES = {"x + x": "2 * x"}\n', encoding="utf-8")
    assert main(["dev", "check", "--from", str(tmp_path)]) == 1
    assert "mutant right is not caught" in capsys.readouterr().out
    mutant.unlink()
    (tmp_path / "class" / "kim").mkdir(parents=True)
    (tmp_path / "class" / "kim" / "twice.py").write_text("def double(x):\n    return x * 2\n", encoding="utf-8")
    grades = ["--from", str(tmp_path), "--out", str(tmp_path / "grades.csv")]
    monkeypatch.setenv("MINILLM_ASSIGNMENTS", "")  # put back afterwards
    assert main(["grade", str(tmp_path / "class"), *grades]) == 0
    assert table(tmp_path / "grades.csv")[0]["13_twice"] == "1"
    built = build("classroom50", tmp_path / "built", [], tmp_path)
    assert [path.name for path in (built / "source" / "lessons" / "assignments").glob("*_*")] == ["13_twice"]
    assert main(["dev", "new", "13_twice", "--in", str(tmp_path)]) == 2
    assert main(["dev", "new", "twice", "--in", str(tmp_path)]) == 2
