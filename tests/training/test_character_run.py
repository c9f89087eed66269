"""The run beside PyTorch: both sides learn the same."""

import math

import pytest

from benchmarks import character_run


@pytest.mark.extra
def test_both_sides_end_at_the_same_loss(tmp_path):
    pytest.importorskip("torch")
    text = tmp_path / "text.txt"
    words = "A rose is a rose is a rose, and a thorn is a thorn. " * 40
    text.write_text(words, encoding="utf-8")
    outcomes = character_run.run(str(text), steps=6)
    ours, theirs = outcomes["minillm"], outcomes["torch"]
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)
    assert ours.loss < math.log(len(set(words))) - 0.3  # that less nothing where nothing was learned
    assert ours.seconds > 0 and theirs.seconds > 0
