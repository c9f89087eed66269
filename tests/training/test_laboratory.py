"""The laboratory of the lessons on scaling laws."""

import numpy as np
import pytest

from minillm.errors import DownloadError
from minillm.training.laboratory import Characters, rates


def test_a_schedule_made_for_longer_ends_high():
    matched, cut_off = rates(100, 24), rates(100, 24, horizon=400)
    np.testing.assert_array_equal(matched[:6], cut_off[:6])  # the warm-up, 100 // 20 steps, and the peak
    assert matched[-1] < 0.2 * cut_off[-1]


@pytest.mark.model
def test_repeated_rows_are_the_same_rows_in_another_order():
    characters = Characters()
    try:
        rows = characters.rows(8, seed=3, epochs=4).reshape(4, -1, 33)
    except DownloadError as error:
        pytest.skip(str(error))
    first = {row.tobytes() for row in rows[0]}
    assert len(first) == 32  # 8 steps of 16 rows, a quarter of them different
    for epoch in rows[1:]:
        assert {row.tobytes() for row in epoch} == first
        assert not np.array_equal(epoch, rows[0])
    assert characters.held_out.shape == (512, 33)
