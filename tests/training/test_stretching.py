"""Reading further than trained: the windows start anew, the ways differ beyond them, more steps change the model."""

import jax
import numpy as np
import pytest

from minillm.training.stretching import WAYS, Stretching

TEXT = np.random.default_rng(0).integers(0, 9, 600).astype(np.int32)


@pytest.fixture(scope="module")
def lab():
    return Stretching(TEXT, 9, trained=16, extended=32)


@pytest.fixture(scope="module")
def state(lab):
    return lab.learn(seed=1, steps=3)


def test_windows_that_start_anew_agree_with_one_reading_in_the_first_window_only(lab, state):
    rows = TEXT[: 4 * 33].reshape(4, 33)
    scaled = jax.tree.map(lambda w: 20 * w if w.ndim == 2 else w, state.params)  # so that context matters
    whole, anew = lab.losses("none", scaled, rows), lab.losses_anew(scaled, rows)
    assert whole.shape == anew.shape == (32,)
    np.testing.assert_allclose(anew[:16], whole[:16], rtol=1e-4)
    assert np.abs(anew[16:] - whole[16:]).max() > 1e-2
    np.testing.assert_allclose(anew[16:], lab.losses("none", scaled, rows[:, 16:]), rtol=1e-5)


def test_each_way_counts_positions_otherwise(lab):
    described = {way: (lab.config(way).rope_theta, lab.config(way).rope_factors) for way in WAYS}
    assert len(set(described.values())) == len(WAYS)
    assert {lab.config(way).context_length for way in WAYS} == {16, 32}


def test_more_steps_change_the_model_and_leave_the_state_alone(lab, state):
    before = jax.tree.map(np.array, state.params)
    on = lab.go_on(state, "YaRN", 32, rate=1e-2, seed=1, steps=2)
    assert int(on.step) == int(state.step) + 2
    jax.tree.map(np.testing.assert_array_equal, before, state.params)
    assert np.abs(np.asarray(on.params["embedding"]) - before["embedding"]).max() > 1e-4
