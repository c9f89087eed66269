"""`minillm claims`: what it lists, from the lessons' files and from what their last runs wrote."""

import json

import pytest

from minillm.commands.main import main
from minillm.course import Claims, chapter
from minillm.course.chapter import read_chapter
from minillm.course.claim_files import read_claims

FILE = """
[[check]]
id = "starts"
statement = "It starts as the base"
chapter = "2.1.2-1"
source = "minillm"
rule = { form = "equal", to = 0 }

[[claim]]
id = "gains"
statement = "It gains"
source = "minillm"
rule = { form = "above", than = 0, over = "seeds" }

[[claim]]
id = "gains-more"
statement = "It gains more than the other"
chapter = "2.1.2-1"
source = "minillm"
rule = { form = "above", than = 0, over = "seeds" }
preconditions = ["learns: the other learns"]
"""


@pytest.fixture
def out(tmp_path, monkeypatch):
    """A folder in which one of two lessons has been run."""
    scripts = {id: tmp_path / f"9_{id[-1]}_sums.py" for id in ("9.1", "9.2")}
    for script in scripts.values():
        script.with_suffix(".toml").write_text(FILE, encoding="utf-8")
    monkeypatch.setattr(chapter, "lesson_files", lambda folder=None: scripts)
    claims = Claims(read_claims(tmp_path / "9_1_sums.toml"))
    claims.decide("starts", 0.25)
    claims.decide("gains", [2.0, 2.1, 2.2])
    claims.decide("gains-more", None, learns=False)
    claims.write(tmp_path / "lessons" / "9.1" / "claims.json")
    return tmp_path


def answer(capsys, *words):
    capsys.readouterr()
    assert main(list(map(str, words))) == 0
    return capsys.readouterr().out


def test_claims_are_listed_with_their_last_verdicts(out, capsys):
    listed = json.loads(answer(capsys, "claims", "--json", "--out", out))
    assert [
        (claim["lesson"], claim["id"], claim["check"], claim["measured"], claim["verdict"]) for claim in listed
    ] == [
        ("9.1", "starts", True, 0.25, "fails"),
        ("9.1", "gains", False, pytest.approx(2.1), "supported"),
        ("9.1", "gains-more", False, None, "undecided"),
        ("9.2", "starts", True, None, "not run"),
        ("9.2", "gains", False, None, "not run"),
        ("9.2", "gains-more", False, None, "not run"),
    ]
    text = answer(capsys, "claims", "--out", out)
    assert "2 checks: 1 fails, 1 not run" in text
    assert "4 claims: 1 supported, 1 undecided, 2 not run" in text


def test_the_chapter_is_walked_with_the_claims_that_decide(out, capsys):
    walked = json.loads(answer(capsys, "claims", "--chapter", "--json", "--out", out))
    assert [record["id"] for record in walked] == [statement.id for statement in read_chapter()]
    decided = {record["id"]: [(c["id"], c["verdict"]) for c in record["decided_by"]] for record in walked}
    named = decided.pop("2.1.2-1")
    assert named == [
        ("starts", "fails"),
        ("gains-more", "undecided"),
        ("starts", "not run"),
        ("gains-more", "not run"),
    ]
    assert not any(decided.values())
    marked = sum(bool(record["mark"]) and record["id"] != "2.1.2-1" for record in walked)
    text = answer(capsys, "claims", "--chapter", "--out", out)
    assert f"{len(walked)} statements: 1 with claims, {marked} marked, {len(walked) - 1 - marked} open" in text
    assert "starts: fails" in text


def test_a_damaged_file_of_verdicts_is_one_sentence(out, capsys):
    (out / "lessons" / "9.1" / "claims.json").write_text("[1", encoding="utf-8")
    assert main(["claims", "--out", str(out)]) == 2
    assert "is not a lesson's claims.json" in capsys.readouterr().err
