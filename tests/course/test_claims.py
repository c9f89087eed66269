"""Claims: declared before the run, decided once after it, written whole or not at all."""

import json
import math

import numpy as np
import pytest
from rich.console import Console

from minillm.course.declared import DeclaredClaims as Claims
from minillm.course.declared import verdict
from minillm.errors import InputError, MinillmError
from minillm.files import whole_file

TEXTS = {"statement": "Sums favour short answers.", "source": "Brown et al. 2020", "rule": "contrast > 2 sigma"}
KEYS = ["id", "statement", "chapter", "source", "published"]
KEYS += ["measured", "intervals", "verdict", "rule", "preconditions"]


def declared(*ids):
    claims = Claims()
    for id in ids:
        claims.declare(id, published=0.5, **TEXTS)
    return claims


@pytest.mark.parametrize(
    ("contrast", "sigma", "expected"),
    [
        (0.21, 0.1, "supported"),
        (-0.21, 0.1, "refuted"),
        (0.2, 0.1, "undecided"),  # exactly two sigma is not more than two sigma
        (-0.2, 0.1, "undecided"),
        (1e-9, 0.0, "supported"),  # an exact result has no spread
        (0.0, 0.0, "undecided"),
    ],
)
def test_verdict_has_three_values(contrast, sigma, expected):
    assert verdict(contrast, sigma) == expected


def test_a_failed_precondition_leaves_the_verdict_open():
    holds = {"training made progress": True, "below the ceiling": True}
    assert verdict(9.0, 0.1, holds) == "supported"
    assert verdict(9.0, 0.1, holds | {"below the ceiling": False}) == "undecided"
    assert verdict(math.nan, 0.1, {"the run ended": False}) == "undecided"


@pytest.mark.parametrize(("contrast", "sigma"), [(math.nan, 0.1), (0.1, math.nan), (math.inf, 0.1), (0.1, -1.0)])
def test_a_failed_measurement_is_no_verdict(contrast, sigma):
    with pytest.raises(InputError, match="finite"):
        verdict(contrast, sigma)


def test_written_claims_read_back(tmp_path):
    claims = declared("sum", "mean")
    claims.decide("mean", measured="약 3", verdict="undecided")
    claims.decide("sum", measured=np.float32(0.25), verdict="supported")
    text = claims.write(tmp_path / "new" / "claims.json").read_text(encoding="utf-8")
    first, second = json.loads(text)
    assert list(first) == KEYS
    no_data = {"chapter": None, "intervals": [], "preconditions": []}
    assert first == {"id": "sum", **TEXTS, "published": 0.5, "measured": 0.25, "verdict": "supported"} | no_data
    assert second["measured"] == "약 3"
    assert "약 3" in text  # legible in an editor, not \uXXXX


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda c: c.decide("mean", measured=1, verdict="supported"), "stands in no file"),
        (lambda c: [c.decide("sum", measured=1, verdict="refuted") for _ in range(2)], "decided already"),
        (lambda c: c.declare("sum", **TEXTS), "declared twice"),
        (lambda c: c.declare("new", **(TEXTS | {"rule": " "})), "rule"),
        (lambda c: c.decide("sum", measured=1, verdict="Supported"), "choose one of supported"),
        (lambda c: c.decide("sum", measured=math.nan, verdict="refuted"), "finite"),
        (lambda c: c.decide("sum", measured=np.zeros(2), verdict="refuted"), "finite"),
        (lambda c: c.decide("sum", measured=True, verdict="refuted"), "finite"),
    ],
)
def test_mistakes_are_refused(mistake, words):
    with pytest.raises(InputError, match=words):
        mistake(declared("sum"))


def test_an_open_claim_writes_nothing(tmp_path):
    claims = declared("sum", "mean")
    claims.decide("sum", measured=1, verdict="refuted")
    with pytest.raises(InputError, match="never decided: mean"):
        claims.write(tmp_path / "claims.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_keeps_every_word_and_verdict(width):
    claims = declared("sum")
    claims.decide("sum", measured=1 / 3, verdict="supported")
    console = Console(width=width, force_terminal=False)
    with console.capture() as shown:
        console.print(claims.table())
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= width
    heads = next(line.split() for line in lines if "statement" in line)
    assert heads == ["statement", "source", "published", "measured", "verdict"]
    assert {"0.5", "0.3333", "supported", "Brown"} <= set(shown.get().split())


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
