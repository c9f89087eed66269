"""Assignments: each proves itself, a student's verbs do what they say, and nothing of a student's is lost."""

import json
import math
import os
import pty
import select
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minillm.commands.main import main
from minillm.course.assignments import source, watch
from minillm.course.assignments.checking import check_source
from minillm.course.assignments.dev import prove
from minillm.course.assignments.folder import assignments, find_assignment
from minillm.course.assignments.show import MOST_NUMBERS, array_text
from minillm.course.assignments.tree import find_tree, make_tree, open_tree
from minillm.errors import InputError, MinillmError

ALL = assignments()
UNSHIFTED = "    return np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)\n"


@pytest.mark.parametrize("assignment", ALL, ids=lambda one: one.id)
def test_an_assignment_proves_itself(assignment):
    """Stub, solution, variants, mutants and their hints, as `minillm dev check` has them, but for the time it takes."""
    sizes = []
    assert [words for good, words in prove(assignment, sizes, most_seconds=math.inf) if not good] == []
    assert np.median(sizes) <= 6


def test_there_are_the_assignments_of_the_course():
    assert len(ALL) >= 12 and len({one.id for one in ALL}) == len(ALL)
    assert sum("jax" in one.sources for one in ALL) >= 4
    assert all(10 <= one.minutes <= 60 for one in ALL)


# The text of an assignment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# BEGIN SOLUTION\nx = 1\n", "BEGIN SOLUTION has no END SOLUTION"),
        ("# END SOLUTION\n", "line 1: END without a BEGIN"),
        ("# BEGIN SOLUTION\n# BEGIN SOLUTION\n", "line 2: BEGIN inside another"),
    ],
)
def test_markers_come_in_pairs(text, message):
    with pytest.raises(InputError, match=message):
        source.stub(text, "source.py")


def test_markers_are_comments_and_nothing_else():
    text = (
        'def f():\n    """# BEGIN SOLUTION"""\n    # BEGIN SOLUTION\n    return "# END SOLUTION"\n    # END SOLUTION\n'
    )
    assert source.stub(text, "f.py") == 'def f():\n    """# BEGIN SOLUTION"""\n    raise NotImplementedError\n'


@pytest.mark.parametrize(("right", "times"), [("return y", 0), ("x", 2)])
def test_a_mutant_changes_what_stands_there_once(right, times):
    with pytest.raises(InputError, match=f"'{right}' stands {times} times in the source; a change needs it once"):
        source.mutated("def f(x):\n    return x\n", {right: "z"}, "g.py")


def test_variants_are_a_student_s_own_and_stay():
    names = [f"student{i}" for i in range(40)]
    for one in ALL:
        found = [one.variant(name) for name in names]
        assert found == [one.variant(name) for name in names]
        for name, choices in one.variants.items():
            assert {variant[name] for variant in found} == {value for value, _ in choices}
            assert one.variant(None)[name] == choices[0][0]


def test_a_law_is_told_in_the_words_of_the_variant():
    """A student whose softmax of experts goes token by token is not told of another order."""
    for one in ALL:
        for variant in one.all_variants():
            for result in check_source(one, "numpy", one.stub("numpy", variant), variant):
                assert not any(f"{{{name}}}" in text for name in variant for text in (result.law, *result.hints))
    routing = find_assignment("routing", ALL)
    told = [r.law for r in check_source(routing, "numpy", "", routing.all_variants()[1])]
    assert any("an earlier token comes before a later one" in law for law in told)


# A student's folder


@pytest.fixture
def tree(tmp_path, monkeypatch, capsys):
    made = make_tree(tmp_path / "work", "kim")
    monkeypatch.chdir(made.folder)
    capsys.readouterr()
    return made


def solve(tree, *names):
    for name in names:
        one = tree.find(name)
        for part in one.sources:
            tree.file(one, part).write_text(one.solution(part, tree.variant(one)), encoding="utf-8")


def wrong_softmax(tree, body=UNSHIFTED):
    """Softmax without the shift, along whichever axis is kim's."""
    one = tree.find("softmax")
    path = tree.file(one, "numpy")
    axis = tree.variant(one)["AXIS"]
    path.write_text(
        one.stub("numpy", tree.variant(one)).replace("    raise NotImplementedError\n", body.replace("-1", axis), 1),
        encoding="utf-8",
    )
    return path


def test_init_makes_stubs_and_no_solutions(tree, capsys):
    for one in tree.assignments:
        for part in one.sources:
            text = tree.file(one, part).read_text(encoding="utf-8")
            assert "raise NotImplementedError" in text and "SOLUTION" not in text and "{" + "AXIS" not in text
            assert source.leaks(one.sources[part], text, one.id) == []
    names = {path.name for path in tree.folder.rglob("*") if path.is_file()}
    assert names.isdisjoint({"checks.py", "source.py", "assignment.toml"}) and "AGENTS.md" in names
    assert "mutants" not in {path.name for path in tree.folder.rglob("*")}


def test_init_completes_a_folder_and_overwrites_nothing(tree, capsys):
    path = wrong_softmax(tree)
    mine = path.read_text(encoding="utf-8")
    tree.file(tree.find("rotary"), "numpy").unlink()
    assert main(["init", str(tree.folder)]) == 0
    assert path.read_text(encoding="utf-8") == mine
    assert tree.file(tree.find("rotary"), "numpy").is_file()


def test_init_refuses_what_is_not_its_own(tmp_path, tree, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine", encoding="utf-8")
    assert main(["init", str(tmp_path / "full")]) == 2
    assert "exists and is not empty; choose a new folder" in capsys.readouterr().err
    assert main(["init", str(tree.folder), "--student", "lee"]) == 2
    assert "belongs to kim, not to lee" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "new"), "--student", "../lee"]) == 2
    assert "is not a valid student name" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_elsewhere_the_commands_say_where_to_go(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in (["check"], ["hint"], ["list"], ["reset", "1"], ["solution", "1"], ["submit"]):
        assert main(command) == 2
        assert "is not in a folder of assignments; go into yours, or make one" in capsys.readouterr().err


def test_check_says_what_is_wrong_by_the_smallest_input(tree, capsys):
    wrong_softmax(tree)
    assert main(["check", "softmax"]) == 1
    shown = capsys.readouterr().out
    for words in (
        "NaN or infinity instead of a number (non_finite)",
        "smallest input  softmax([710.])",
        "your answer     [nan]",
        "expected        [1.]",
        "your code       softmax.py:19  return np.exp(scores)",
        "hint 1/2        exp of a large score overflows",
        "run it again    minillm check 01_softmax --replay softmax-",
        "not written yet (not_implemented)",
    ):
        assert words in shown, words
    for foreign in ("Hypothesis", "hypothesis", "Falsifying", "Failing test case", "Traceback", "@given"):
        assert foreign not in shown


def test_check_from_inside_an_assignment_and_by_file(tree, monkeypatch, capsys):
    solve(tree, "power_law")
    monkeypatch.chdir(tree.folder / "07_power_law")
    assert main(["check", "7"]) == 0
    assert main(["check", "07_power_law/power_law.py"]) == 0
    assert main(["check", "power_lav"]) == 2
    assert "There is no assignment 'power_lav'; there are: 1 softmax, 2 causal_attention" in capsys.readouterr().err


def test_check_as_json(tree, capsys):
    solve(tree, "top_p")
    assert main(["check", "12", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {check["verdict"] for check in found} == {"pass"} and sum(check["points"] for check in found) == 10


def test_replay_is_a_script_of_four_lines_that_shows_it(tree, capsys):
    wrong_softmax(tree)
    main(["check", "1"])
    key = capsys.readouterr().out.split("--replay ")[1].split()[0]
    assert main(["check", "1", "--replay", key]) == 0
    script = tree.folder / "01_softmax" / f"replay_{key.replace('-', '_')}.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) == 4
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[nan]"
    for wrong in ("softmax-0000", "../../etc/passwd"):
        assert main(["check", "1", "--replay", wrong]) == 2
    assert "There is no failure" in capsys.readouterr().err


def test_hints_get_plainer_and_begin_again_for_another_mistake(tree, capsys):
    wrong_softmax(tree)
    told = []
    for _ in range(3):
        assert main(["hint", "softmax"]) == 0
        told.append(capsys.readouterr().out)
    assert "hint 1/2" in told[0] and "hint 2/2" in told[1] and told[2] == told[1]
    assert main(["check", "softmax"]) == 1
    assert "hint 2/2" in capsys.readouterr().out  # as plain as was asked for
    wrong_softmax(tree, "    return np.exp(scores - scores.max(axis=-1, keepdims=True))\n")
    assert main(["hint", "softmax"]) == 0
    assert "hint 1/2  These are exponentials and not yet probabilities" in " ".join(capsys.readouterr().out.split(" "))


def test_reset_keeps_a_copy(tree, capsys):
    path = wrong_softmax(tree)
    mine = path.read_text(encoding="utf-8")
    for _ in range(2):  # the second copy does not overwrite the first, even within a second
        path.write_text(mine, encoding="utf-8")
        assert main(["reset", "softmax"]) == 0
    copies = list((tree.folder / ".minillm" / "copies").rglob("softmax.py"))
    assert [copy.read_text(encoding="utf-8") for copy in copies] == [mine, mine]
    assert path.read_text(encoding="utf-8") == tree.find("softmax").stub("numpy", tree.variant(tree.find("softmax")))


def test_solution_comes_after_a_pass_or_giving_up(tree, capsys):
    assert main(["solution", "power_law"]) == 2
    assert "is not passed yet; minillm hint power_law helps" in capsys.readouterr().err
    solve(tree, "power_law")
    assert main(["check", "power_law"]) == 0
    capsys.readouterr()
    assert main(["solution", "power_law"]) == 0
    assert "np.polyfit" in capsys.readouterr().out
    assert main(["solution", "adamw", "--give-up"]) == 0
    assert main(["solution", "adamw"]) == 0  # asked once


def test_submit_makes_one_zip_of_what_is_there(tree, capsys):
    assert main(["submit"]) == 0
    with zipfile.ZipFile(tree.folder / "submission.zip") as archive:
        names = archive.namelist()
    assert "minillm.toml" in names and "01_softmax/softmax_jax.py" in names
    assert len(names) == 1 + sum(len(one.sources) for one in tree.assignments)
    assert main(["submit"]) == 0
    assert list((tree.folder / ".minillm" / "copies").rglob("submission.zip"))


def test_a_damaged_state_is_put_aside(tree, capsys):
    solve(tree, "power_law")
    main(["check", "power_law"])
    state = tree.folder / ".minillm" / "state.json"
    for damage in ("{", "[]", '{"current": 1}', '{"current": "", "standings": {"softmax": {"wrong": 1, "x": 2}}}'):
        state.write_text(damage, encoding="utf-8")
        assert main(["list"]) == 0
    assert state.with_suffix(".damaged").is_file()
    (tree.folder / "minillm.toml").write_text("[course", encoding="utf-8")
    assert main(["list"]) == 2
    assert "minillm.toml is damaged; delete it and run minillm init" in capsys.readouterr().err


def test_list_shows_what_is_passed(tree, capsys):
    solve(tree, "power_law")
    main(["check", "7"])
    main(["list"])
    shown = capsys.readouterr().out
    assert "1 of 12 passed" in shown and "10/10" in shown


def test_a_folder_of_another_place_is_found_from_inside(tree):
    assert find_tree(tree.folder / "01_softmax").folder == tree.folder
    with pytest.raises(MinillmError):
        find_tree(tree.folder.parent)
    assert open_tree(tree.folder).student == "kim"


def test_large_arrays_are_told_by_their_shape():
    assert array_text(np.zeros(MOST_NUMBERS)).startswith("[0., 0.")
    assert array_text(np.zeros((9, 9))) == "an array of shape (9, 9)"


# Watch mode


def test_watching_without_a_terminal_takes_lines(tree):
    run = subprocess.run(
        [sys.executable, "-m", "minillm"],
        input="h\nl\nn\nx\nq\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for words in ("checking 01_softmax", "0 of 12 passed", "2 Causal attention", "Press x again", "n next"):
        assert words in run.stdout, words


def test_watching_in_a_terminal(tree):
    """A save is seen, keys act, and the terminal is given back."""
    mother, child = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "minillm"], stdin=child, stdout=child, stderr=child)
    shown = ""

    def until(words, seconds=60):
        nonlocal shown
        end = time.monotonic() + seconds
        while words not in shown:
            assert time.monotonic() < end, f"{words!r} never came:\n{shown[-2000:]}"
            if select.select([mother], [], [], 0.2)[0]:
                shown += os.read(mother, 65536).decode("utf-8", "replace")
        shown = shown.split(words, 1)[1]

    try:
        until("quit")
        wrong_softmax(tree)
        until("softmax([710.])")
        until("quit")
        os.write(mother, b"h")
        until("hint 2/")  # the first was shown with the check
        os.write(mother, b"x")
        until("Press x again")
        os.write(mother, b"x")
        until("is back as it was handed out")
        os.write(mother, "ㅂ".encode())  # q, with a Korean input method on
        assert process.wait(20) == 0
    finally:
        process.kill()
        os.close(mother)
        os.close(child)
    assert list((tree.folder / ".minillm" / "copies").rglob("softmax.py"))


def test_next_goes_to_what_is_open(tree):
    from rich.console import Console

    solve(tree, "causal_attention")
    seen = watch.Watch(tree, Console(quiet=True))
    seen.next()
    assert seen.one.id == "causal_attention"
    seen.next()
    assert seen.one.id == "kv_cache"


# What a check finds out


def results(name, text):
    one = find_assignment(name, ALL)
    return list(check_source(one, "numpy", text, one.variant(None)))


def test_the_line_where_a_number_stops_being_finite():
    text = "import numpy as np\ndef huber(r, d):\n    a = r / d\n    b = a / 0.0\n    return b * 0\n"
    wrong = next(result for result in results("power_law", text) if result.question == "huber")
    assert (wrong.verdict, wrong.line["line"], wrong.line["text"]) == ("non_finite", 4, "b = a / 0.0")


def test_what_was_printed_is_shown(tree, capsys):
    wrong_softmax(tree, "    print('z is', 3)\n    return scores\n")
    main(["check", "1"])
    assert "it printed      z is 3" in capsys.readouterr().out


def test_helpers_and_constants_of_one_s_own_are_allowed():
    one = find_assignment("power_law", ALL)
    text = (
        "from __future__ import annotations\nimport math\n"
        "from dataclasses import dataclass\nfrom functools import partial\n"
        "@dataclass\nclass Line:\n    slope: float\n    height: float\n"
        + one.solution("numpy", one.variant(None)).split('"""', 2)[2]
    )
    assert {result.verdict for result in results("power_law", text)} == {"pass"}


def test_an_error_is_told_with_the_line(tree, capsys):
    path = wrong_softmax(tree, "    return scoers\n")
    main(["check", "1"])
    shown = capsys.readouterr().out
    assert "NameError: name 'scoers' is not defined" in shown and "softmax.py:19  return scoers" in shown
    path.write_text("def softmax(scores:\n", encoding="utf-8")
    main(["check", "1"])
    assert "the file is not valid Python (syntax)" in capsys.readouterr().out
    assert Path(path).is_file()
