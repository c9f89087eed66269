"""The laboratory of the lessons on scaling laws."""

import jax
import numpy as np
import pytest

from minillm.errors import DownloadError
from minillm.parameters import decays
from minillm.training.laboratory import Characters, Job, init_scale, losses_of, memorised_bits, rates, small_model
from minillm.training.sweep import evaluate_small
from minillm.transformer.transformer import init_params


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
    assert characters.validation.shape == characters.test.shape == (512, 33)
    trained = {row.tobytes() for seed in range(3) for row in characters.rows(640, seed).reshape(-1, 33)}
    chosen, tested = ({row.tobytes() for row in rows} for rows in (characters.validation, characters.test))
    assert len(trained & tested) + len(chosen & tested) + len(trained & chosen) <= 1  # no row serves two purposes


def test_losses_stand_in_the_order_of_the_jobs():
    rows = np.random.default_rng(0).integers(0, 7, (2, 16, 33)).astype(np.int32)
    jobs = [Job(4, 2, 0), Job(8, 2, 0), Job(4, 2, 0, factor=0.0)]
    losses = losses_of(lambda width: small_model(7, width, layers=1), jobs, lambda steps, seed: rows, rows[0], rows[1])
    assert losses.shape == (2, 3)
    untrained = init_params(small_model(7, 4, layers=1), np.random.default_rng(0), np.float32)
    scaled = jax.tree.map(lambda leaf: init_scale(4) * leaf if decays(leaf) else leaf, untrained)
    expected = [evaluate_small(small_model(7, 4, layers=1), scaled, part).mean() for part in rows]
    np.testing.assert_allclose(losses[:, 2], expected, rtol=1e-5)  # a learning rate of 0 changes nothing
    assert len({*losses[0]}) == 3


def test_a_line_read_often_is_remembered_and_none_is_without_training():
    assert memorised_bits(8, 0, steps=60, lines=2, letters=7) > 20  # of 2 * 32 * log2(7) = 180 bits
    assert memorised_bits(8, 0, steps=2, lines=2, letters=7) < 20
