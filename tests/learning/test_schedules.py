"""Laws of the learning-rate schedules, and each against its twin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from minillm.errors import InputError
from minillm.learning import schedules as reference
from minillm.learning import schedules_jax as in_jax

SCHEDULES = {
    "constant": {"warmup_steps": 7},
    "warmup_cosine": {"warmup_steps": 7, "total_steps": 31, "final_fraction": 0.1},
    "warmup_stable_decay": {"warmup_steps": 7, "total_steps": 31, "decay_steps": 11, "final_fraction": 0.1},
}
each_schedule = pytest.mark.parametrize("name", SCHEDULES)
steps = np.arange(40, dtype=np.int32)


def rates(name, side=reference, step=steps, peak=3e-3, **changes):
    return getattr(side, name)(step, peak, **{**SCHEDULES[name], **changes})


@each_schedule
def test_twins_agree(name):
    with jax.enable_x64(True):
        got = rates(name, in_jax, jnp.asarray(steps))
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, rates(name), rtol=1e-12)
    one_by_one = [rates(name, in_jax, step) for step in steps]
    jitted = jax.jit(lambda step: rates(name, in_jax, step))
    np.testing.assert_allclose(one_by_one, rates(name), rtol=1e-6)
    np.testing.assert_allclose([jitted(step) for step in steps], rates(name), rtol=1e-6)


@each_schedule
def test_it_lowers_for_every_platform(name):
    function = jax.jit(lambda step: rates(name, in_jax, step))
    lowered = export.export(function, platforms=["cpu", "cuda", "rocm", "tpu"])
    assert len(lowered(jax.ShapeDtypeStruct((), np.int32)).platforms) == 4


@each_schedule
def test_the_warm_up_is_a_line_that_starts_above_zero_and_ends_at_the_peak(name):
    # 7 warm-up steps: 1/8, 2/8, ... 7/8 of the peak, and the peak itself at step 7.
    np.testing.assert_allclose(rates(name)[:8], 3e-3 * np.arange(1, 9) / 8, rtol=1e-12)


@each_schedule
def test_without_warm_up_the_first_step_has_the_peak(name):
    assert rates(name, warmup_steps=0)[0] == 3e-3


@each_schedule
def test_it_rises_then_never_rises_again(name):
    found = rates(name)
    assert (np.diff(found[:8]) > 0).all()
    assert (np.diff(found[7:]) <= 0).all()


def test_the_cosine_by_hand():
    # 24 steps of decay from the peak 1 to 0.1: half-way (step 19) the mean of both, 0.55; a quarter of the way
    # (step 13) cos(pi / 4) = 0.70711, so 0.1 + 0.9 * 1.70711 / 2 = 0.86820.
    found = rates("warmup_cosine", peak=1.0)
    np.testing.assert_allclose(found[[7, 13, 19, 31]], [1, 0.8681980515, 0.55, 0.1])


def test_warm_up_stable_decay_by_hand():
    # Level until step 31 - 11 = 20, then 0.9 / 11 less at each step.
    found = rates("warmup_stable_decay", peak=1.0)
    assert (found[7:21] == 1).all()
    np.testing.assert_allclose(found[[21, 30, 31, 39]], [1 - 0.9 / 11, 0.1 + 0.9 / 11, 0.1, 0.1])


@each_schedule
def test_the_rates_scale_with_the_peak(name):
    np.testing.assert_allclose(rates(name, peak=6e-3), 2 * rates(name), rtol=1e-12)


@pytest.mark.parametrize("side", [reference, in_jax])
@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("warmup_cosine", {"warmup_steps": 31}, "31 warm-up steps and 0 decay steps leave none of the 31"),
        ("warmup_stable_decay", {"decay_steps": 24}, "7 warm-up steps and 24 decay steps leave none of the 31"),
        ("warmup_cosine", {"final_fraction": 1.5}, "final_fraction is 1.5"),
        ("constant", {"warmup_steps": -1}, "neither may be negative"),
        ("constant", {"peak": float("nan")}, "The learning rate is nan"),
    ],
)
def test_impossible_schedules_are_refused(side, name, changes, message):
    with pytest.raises(InputError, match=message):
        rates(name, side, **changes)
