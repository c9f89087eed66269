"""A lesson with a file of claims beside it: shown before the run, decided in it, all of them or the lesson fails."""

import json

import pytest

from minillm.course import Options
from minillm.course.lesson import read_lesson
from minillm.course.run import LessonFailed, run_lesson
from minillm.course.step import step_lesson

LESSON = """\
# %% [markdown]
# # Sums and means
#
# - **Section:** 9.1
# - **Korean title:** 합과 평균
# - **Time:** 2 seconds
# - **You will see:** a sum

# %%
from minillm.course import Lesson

lesson = Lesson("9.1")
total = 1 + 1
print("the sum is", total)
lesson.claims.decide("two", total)
lesson.finish()
"""
CLAIMS = """
[[claim]]
id = "two"
statement = "One and one are two"
source = "arithmetic"
rule = { form = "equal", to = 2, of = "the sum" }
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "9_1_sums.toml").write_text(CLAIMS, encoding="utf-8")
    path = tmp_path / "9_1_sums.py"
    path.write_text(LESSON, encoding="utf-8")
    return read_lesson(path)


@pytest.mark.parametrize("go", [run_lesson, step_lesson])
def test_claims_are_shown_before_the_run_and_written_after_it(script, tmp_path, capsys, go):
    go(script, Options(out=tmp_path))
    shown = capsys.readouterr().out
    assert 0 < shown.index("One and one are two") < shown.index("the sum exactly 2") < shown.index("the sum is 2")
    assert shown.index("the sum is 2") < shown.index("two: 2: supported")
    [claim] = json.loads((tmp_path / "lessons" / "9.1" / "claims.json").read_text(encoding="utf-8"))
    assert (claim["id"], claim["measured"], claim["verdict"]) == ("two", 2.0, "supported")


def test_a_claim_that_the_lesson_leaves_open_stops_it(script, tmp_path, capsys):
    more = CLAIMS + CLAIMS.replace('"two"', '"three"')
    script.path.with_suffix(".toml").write_text(more, encoding="utf-8")
    with pytest.raises(LessonFailed, match="InputError"):
        run_lesson(script, Options(out=tmp_path))
    assert "never decided: three" in capsys.readouterr().err
    assert not (tmp_path / "lessons" / "9.1" / "claims.json").exists()
