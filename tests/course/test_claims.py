"""Claims on their way to claims.json and to the table: written whole or not at all, legible, in the file's order."""

import json

import numpy as np
import pytest
from rich.console import Console

from minillm.course.claims import Claim, Claims
from minillm.course.rules import read_rule
from minillm.errors import InputError, MinillmError
from minillm.files import whole_file

KEYS = ["id", "check", "statement", "chapter", "source", "published", "published_on"]
KEYS += ["measured", "intervals", "p", "corrected_p", "verdict", "rule", "preconditions"]


def stated(*ids):
    rule = read_rule({"form": "above", "than": 0}, "rule")
    return Claims([Claim(id, "Sums favour short answers.", "Brown et al. 2020", rule, 0.5) for id in ids])


def test_written_claims_read_back(tmp_path):
    claims = stated("sum", "mean")
    claims.decide("mean", -1, measured="약 3")
    claims.decide("sum", np.float32(0.25))
    text = claims.write(tmp_path / "new" / "claims.json").read_text(encoding="utf-8")
    first, second = json.loads(text)
    assert list(first) == list(second) == KEYS
    assert (first["id"], first["measured"], first["verdict"]) == ("sum", 0.25, "supported")
    assert (second["id"], second["measured"], second["verdict"]) == ("mean", "약 3", "refuted")
    assert "약 3" in text  # legible in an editor, not \uXXXX


def test_an_open_claim_writes_nothing(tmp_path):
    path = tmp_path / "claims.json"
    path.write_text("of an earlier run", encoding="utf-8")
    claims = stated("sum", "mean")
    claims.decide("sum", 1)
    with pytest.raises(InputError, match="never decided: mean"):
        claims.write(path)
    assert path.read_text(encoding="utf-8") == "of an earlier run"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_keeps_every_word_and_verdict(width):
    claims = stated("sum")
    claims.decide("sum", 1 / 3)
    console = Console(width=width, force_terminal=False)
    with console.capture() as shown:
        console.print(claims.table())
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= width
    assert next(line.split() for line in lines if "verdict" in line) == ["verdict", "claim"]
    text = " ".join(shown.get().split())
    assert "supported Sums favour short answers." in text
    assert "measured 0.3333 rule: it above 0 source: Brown et al. 2020; published: 0.5" in text


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "figure.png"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(ZeroDivisionError), whole_file(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(MinillmError, match="cannot be written"), whole_file(tmp_path / "file" / "claims.json"):
        pass
