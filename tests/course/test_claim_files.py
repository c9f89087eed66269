"""Files of claims: read or refused by name, decided by their lessons, and set beside the chapter's statements."""

import ast
import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from minillm.course import Claims, Lesson
from minillm.course.chapter import LastVerdict, Statement, deciding_claims, last_verdicts, read_chapter
from minillm.course.claim_files import read_claims
from minillm.course.lesson import lesson_files
from minillm.course.run import as_main
from minillm.errors import InputError

GOOD = """
[[claim]]
id = "better"
statement = "Small is better"
chapter = "2.1.2-1"
source = "arithmetic"
published = 0.5
rule = { form = "above", than = 0, of = "gain", unit = "nats", over = "seeds" }
preconditions = ["learns: the model learns", "inside: the best rate is inside"]

[[claim]]
id = "same"
statement = "NumPy and JAX agree"
source = "minillm"
rule = { form = "holds" }
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "9_1_sums.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


@pytest.fixture
def claims(path):
    return Claims(read_claims(path))


def test_a_measurement_is_decided_printed_and_written(claims, tmp_path, capsys):
    claims.decide("better", [11.0, 12.0, 13.0], learns=True, inside=np.bool_(True))
    claims.decide("same", False, measured="not alike")
    # 12 +- 4.3027 / sqrt(3) = 12 +- 2.484
    assert capsys.readouterr().out.splitlines() == [
        "better: 12 nats [9.52, 14.5], p 0.0023: supported",
        "same: not alike: refuted",
    ]
    better, same = json.loads(claims.write(tmp_path / "claims.json").read_text(encoding="utf-8"))
    # t = 12 / (1 / sqrt(3)) = 20.785 with 2 degrees of freedom: p = 1 - t / sqrt(2 + t^2)
    assert [better.pop("p"), better.pop("corrected_p")] == pytest.approx([0.002307] * 2, rel=1e-3)
    [interval] = better.pop("intervals")
    assert [interval.pop("low"), interval.pop("high")] == pytest.approx([9.516, 14.484], abs=1e-3)
    assert interval == {"estimate": 12, "n": 3}
    assert better == {
        "id": "better",
        "check": False,
        "statement": "Small is better",
        "chapter": "2.1.2-1",
        "source": "arithmetic",
        "published": 0.5,
        "published_on": "",
        "measured": 12.0,
        "verdict": "supported",
        "rule": {"form": "above", "of": "gain", "unit": "nats", "than": 0, "over": "seeds"},
        "preconditions": [
            {"says": "the model learns", "held": True},
            {"says": "the best rate is inside", "held": True},
        ],
    }
    assert (same["measured"], same["verdict"], same["chapter"], same["intervals"]) == ("not alike", "refuted", None, [])


def test_a_failed_precondition_leaves_the_claim_open(claims, capsys):
    claims.decide("better", [11.0, 12.0, 13.0], learns=True, inside=False)
    assert (
        capsys.readouterr().out
        == "better: 12 nats [9.52, 14.5], p 0.0023: undecided; not so: the best rate is inside\n"
    )


def test_nothing_need_be_measured_where_a_precondition_failed(claims, capsys):
    claims.decide("better", None, learns=False, inside=True)
    assert capsys.readouterr().out == "better: -: undecided; not so: the model learns\n"


def test_chance_among_many_claims_is_counted(tmp_path, capsys):
    """Holm by hand: p of 0.0023, 0.03 and 0.04 count three times, twice and once; no later one less than an earlier."""
    table = '[[claim]]\nid = "{}"\nstatement = "s"\nsource = "s"\notherwise = "Believe {} not."\n'
    table += 'rule = {{ form = "above", than = 0, over = "seeds" }}\n'
    path = tmp_path / "9_1_sums.toml"
    path.write_text("".join(table.format(id, id) for id in ("first", "second", "third")), encoding="utf-8")
    claims = Claims(read_claims(path))
    for id, p in (("second", 0.04), ("first", 0.0023), ("third", 0.03)):
        t = (1 - p) * math.sqrt(2 / (1 - (1 - p) ** 2))  # of 2 degrees of freedom
        claims.decide(id, np.array([-1.0, 0.0, 1.0]) + t / math.sqrt(3))
    assert capsys.readouterr().out.count(": supported") == 3
    verdicts = {claim.id: (claim.verdict, claim.corrected_p) for claim in claims.corrected()}
    assert {id: verdict for id, (verdict, _) in verdicts.items()} == {
        "first": "supported",
        "second": "undecided",
        "third": "undecided",
    }
    assert [p for _, p in verdicts.values()] == pytest.approx([0.0069, 0.06, 0.06], rel=1e-3)
    console = Console(width=200, force_terminal=False)
    with console.capture() as shown:
        console.print(claims.table())
    assert ("Believe second not" in shown.get(), "Believe first not" in shown.get()) == (True, False)


def test_checks_hold_or_fail_and_are_no_tests(path, tmp_path):
    path.write_text(GOOD.replace('[[claim]]\nid = "same"', '[[check]]\nid = "same"'), encoding="utf-8")
    for value, verdict in ((True, "holds"), (False, "fails")):
        claims = Claims(read_claims(path))
        claims.decide("same", value)
        claims.decide("better", [11.0, 12.0, 13.0], learns=True, inside=True)
        found = {claim.id: (claim.check, claim.verdict, claim.corrected_p) for claim in claims.corrected()}
        assert found == {"same": (True, verdict, None), "better": (False, "supported", pytest.approx(0.0023, rel=0.01))}


def test_a_small_model_does_not_refute_a_large_one(path):
    path.write_text(GOOD.replace("published = 0.5", 'published = 0.5\npublished_on = "GPT-3, 175B"'), encoding="utf-8")
    claims = Claims(read_claims(path))
    claims.decide("better", [-11.0, -12.0, -13.0], learns=True, inside=True)
    claims.decide("same", True)
    assert claims.corrected()[0].verdict == "not reproduced at this size"


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda c: c.decide("worse", 1.0), r"'worse' stands in no file.*better, same"),
        (lambda c: [c.decide("same", True) for _ in range(2)], "decided already"),
        (lambda c: c.decide("better", [1.0, 2.0]), "'inside' was not given"),
        (lambda c: c.decide("same", True, learns=True), "'learns' is not one of its preconditions"),
        (lambda c: c.decide("same", True, verdict="supported"), "'verdict' is not one of its preconditions"),
        (lambda c: c.decide("better", [1.0, 2.0], learns=1, inside=True), "give True or False"),
        (lambda c: c.decide("better", None, learns=True, inside=True), "finite numbers"),
        (lambda c: c.decide("better", [1.0, math.nan], learns=False, inside=True), "finite numbers"),
        (lambda c: c.require_decided(), "never decided: better, same"),
    ],
)
def test_mistakes_of_a_lesson(claims, mistake, words):
    with pytest.raises(InputError, match=words):
        mistake(claims)


def test_a_lesson_without_a_file_of_claims(tmp_path):
    """Said of the lesson's own file, of one that is not its lesson, and in the list of all claims."""
    script = tmp_path / "9_1_sums.py"
    script.write_text("", encoding="utf-8")
    with as_main(script):
        with pytest.raises(InputError, match=r"9_1_sums\.toml is missing; write the lesson's claims there"):
            Lesson("9.1")
        with pytest.raises(InputError, match=r"'9\.2' is neither the running file .* name its file 9_2_\*\.py"):
            Lesson("9.2")
    with pytest.raises(InputError, match=r"9_1_sums\.toml is missing"):
        last_verdicts(tmp_path / "out", tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[[claim]]", "[[claims]]"), "unknown key 'claims'"),
        (('id = "better"', 'id = "same"'), "'same' stands there twice"),
        (('id = "better"', 'id = "Better one"'), "claim 1 has id 'Better one'"),
        (("published", "publisht"), r"9_1_sums.toml, claim 'better': unknown key 'publisht'"),
        (("published = 0.5", "published = true"), "published is True"),
        (("published = 0.5", "published = nan"), "published is nan; write a finite number"),
        (('chapter = "2.1.2-1"', 'chapter = ""'), "leave it out where the claim is ours"),
        (('source = "minillm"\n', ""), "claim 'same': source is None"),
        (('rule = { form = "holds" }', ""), "claim 'same': rule is missing"),
        (("than = 0", "then = 0"), "claim 'better': rule has the unknown key 'then'"),
        (('"learns: the model learns"', '"the model learns"'), "name: what must hold"),
        (('"learns: the', '"inside: the'), "no other precondition"),
        (('"learns: the', '"minus: the'), "no argument of `decide`"),
        (("[[claim]]", "[[claim"), "cannot be read as a file of claims"),
        (('[[claim]]\nid = "better"', '[[check]]\nid = "better"'), "check 'better': its rule has an interval"),
        (("published = 0.5", 'published_on = "GPT-3"'), "give the figure as published"),
        (("published = 0.5", "otherwise = 1"), "otherwise is 1; write it as text"),
    ],
)
def test_what_is_no_file_of_claims(path, change, words):
    text = GOOD.replace(*change)
    assert text != GOOD
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_claims(path)


def test_the_table_before_the_run_says_what_decides(claims):
    console = Console(width=200, force_terminal=False)
    with console.capture() as shown:
        console.print(claims.before())
    text = " ".join(shown.get().split())
    assert "Small is better" in text
    assert "gain above 0 nats; 95 % interval over seeds; undecided unless" in text


# --- the lessons' own files


def stated():
    return {path: path.with_suffix(".toml") for path in lesson_files().values()}


@pytest.mark.parametrize("script", stated(), ids=lambda path: path.stem)
def test_a_lesson_decides_the_claims_of_its_file_and_no_other(script):
    """Read from the code: every id stands as a literal in a call of `claims.decide`, once."""
    calls = [
        node
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "decide"
    ]
    ids = [call.args[0].value for call in calls if call.args and isinstance(call.args[0], ast.Constant)]
    claims = read_claims(stated()[script])
    assert len(ids) == len(calls)
    assert sorted(ids) == sorted(claim.id for claim in claims)
    given = {
        call.args[0].value: {word.arg for word in call.keywords} - {"minus", "measured", "standard_error", "dof"}
        for call in calls
    }
    assert given == {claim.id: {name for name, _ in claim.preconditions} for claim in claims}


def test_claims_name_statements_that_the_chapter_has():
    numbers = {statement.id for statement in read_chapter()}
    assert {"1.0-1", "1.1.5-13", "2.3.2-1", "6-1"} <= numbers
    named = {claim.chapter for path in stated().values() for claim in read_claims(path) if claim.chapter}
    assert named
    assert named <= numbers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[statement]]\nsection = "1.0"\nid = "1.1-1"\nstatement = "x"', "must be its section"),
        ('[[statement]]\nsection = "1.0"\nid = "1.0-1"\nstatement = "x"\nwrong = "y"', "unknown key 'wrong'"),
        ('[[statement]]\nsection = "1.0"\nid = "1.0-1"', "statement is missing"),
        ('[[statement]]\nsection = "1.0"\nid = "1.0-1"\nstatement = "x"\n' * 2, "'1.0-1' stands there twice"),
    ],
)
def test_what_is_no_chapter(tmp_path, text, words):
    path = tmp_path / "chapter.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_chapter(path)


def test_last_verdicts_are_of_the_rules_as_they_stand(claims, path, tmp_path):
    (tmp_path / "9_1_sums.py").write_text("", encoding="utf-8")
    assert {claim.verdict for claim in last_verdicts(tmp_path / "out", tmp_path)} == {"not run"}
    claims.decide("better", [11.0, 12.0, 13.0], learns=True, inside=True)
    claims.decide("same", True)
    claims.write(tmp_path / "out" / "lessons" / "9.1" / "claims.json")
    first, second = last_verdicts(tmp_path / "out", tmp_path)
    assert (first.lesson, first.id, first.measured, first.verdict) == ("9.1", "better", 12.0, "supported")
    path.write_text(GOOD.replace("than = 0", "than = 1"), encoding="utf-8")
    first, second = last_verdicts(tmp_path / "out", tmp_path)
    assert (first.verdict, second.verdict) == ("not run", "supported")
    (tmp_path / "out" / "lessons" / "9.1" / "claims.json").write_text("[1", encoding="utf-8")
    with pytest.raises(InputError, match=r"not a lesson's claims\.json"):
        last_verdicts(tmp_path / "out", tmp_path)


def test_a_claim_of_a_statement_that_is_not_there_is_refused():
    [statement] = [Statement("1.0", "1.0-1", "x")]
    claim = LastVerdict("9.1", "better", "Small is better", "9.1-1", "arithmetic", None, "not run")
    with pytest.raises(InputError, match=r"'better' of lesson 9\.1 names statement '9\.1-1'"):
        deciding_claims([statement], [claim])


def test_no_statement_of_a_section_that_has_lessons_is_left_open():
    """It has a claim, or a mark that says why none can decide it."""
    sections = {"2.0", *lesson_files()}
    walk = deciding_claims(read_chapter(), last_verdicts(Path("nowhere")))
    assert [s.id for s, claims in walk if s.section in sections and not claims and not s.mark] == []
