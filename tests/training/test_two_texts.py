"""Plays and film reviews by characters."""

import numpy as np
import pytest

from minillm.errors import DownloadError
from minillm.training.two_texts import TwoTexts


@pytest.mark.model
def test_what_trains_chooses_and_tests_is_different_text():
    texts = TwoTexts()
    try:
        letters, rows = texts.letters, texts.rows
    except DownloadError as error:
        pytest.skip(str(error))
    assert {name: row.shape for name, row in rows.items()} == {
        f"{text}, {use}": (512, 33) for text in ("plays", "films") for use in ("choose", "test")
    }
    assert (len(texts.plays), len(texts.films)) == (1_300_000, 400_000)
    plain = "".join(letters[index] for index in texts.plays)
    assert "".join(letters[index] for index in texts.plays[:9]) == plain[:9]
    for use in ("choose", "test"):
        inside = ["".join(letters[i] for i in row) in plain for row in rows[f"plays, {use}"]]
        assert np.mean(inside) < 0.02  # a name of a speaker with blank lines may occur twice
