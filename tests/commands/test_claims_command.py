"""`minillm claims`: what it lists, from the lessons' files and from what their last runs wrote."""

import json

import pytest

from minillm.commands.main import main
from minillm.course import Claims
from minillm.course.chapter import read_chapter
from minillm.course.claim_files import read_claims
from minillm.files import course_folder


@pytest.fixture
def out(tmp_path):
    """A folder in which lesson 2.1.2 has been run: one claim refuted, the others left open by hand."""
    claims = Claims(read_claims(course_folder("lessons") / "2_1_2_lora.toml"))
    for claim in claims:
        values = {"starts-at-base": 0.25, "first-gradient": [0, 1], "real-task": [1.0, -1.0]}.get(claim.id)
        claims.decide(claim.id, values, **{name: False for name, _ in claim.preconditions})
    claims.write(tmp_path / "lessons" / "2.1.2" / "claims.json")
    return tmp_path


def answer(capsys, *words):
    capsys.readouterr()
    assert main(list(map(str, words))) == 0
    return capsys.readouterr().out


def test_claims_are_listed_with_their_last_verdicts(out, capsys):
    listed = json.loads(answer(capsys, "claims", "--json", "--out", out))
    mine = {claim["id"]: claim for claim in listed if claim["lesson"] == "2.1.2"}
    assert (mine["starts-at-base"]["verdict"], mine["starts-at-base"]["measured"]) == ("refuted", 0.25)
    assert (mine["first-gradient"]["verdict"], mine["recovers"]["verdict"]) == ("supported", "undecided")
    others = [claim["verdict"] for claim in listed if claim["lesson"] != "2.1.2"]
    assert set(others) <= {"not run"}
    text = answer(capsys, "claims", "--out", out)
    undecided = len(mine) - 2
    assert f"{len(listed)} claims: 1 supported, 1 refuted, {undecided} undecided, {len(others)} not run" in text


def test_the_chapter_is_walked_with_the_claims_that_decide(out, capsys):
    walked = json.loads(answer(capsys, "claims", "--chapter", "--json", "--out", out))
    assert [record["id"] for record in walked] == [statement.id for statement in read_chapter()]
    decided = {record["id"]: [(c["id"], c["verdict"]) for c in record["decided_by"]] for record in walked}
    assert ("starts-at-base", "refuted") in decided["2.1.2-1"]
    assert decided["2.3.2-1"] == []
    claimed = sum(map(bool, decided.values()))
    marked = sum(bool(record["mark"]) and not record["decided_by"] for record in walked)
    text = answer(capsys, "claims", "--chapter", "--out", out)
    assert f"{len(walked)} statements: {claimed} with claims, {marked} marked, " in text
    assert "starts-at-base: refuted" in text


def test_a_damaged_file_of_verdicts_is_one_sentence(out, capsys):
    (out / "lessons" / "2.1.2" / "claims.json").write_text("[1", encoding="utf-8")
    assert main(["claims", "--out", str(out)]) == 2
    assert "is not a lesson's claims.json" in capsys.readouterr().err
