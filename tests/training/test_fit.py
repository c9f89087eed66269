"""The small training loop: held to a hand-written one of the NumPy optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minillm.errors import InputError
from minillm.learning import optimizer
from minillm.training.fit import PLAIN, Adam, fit, linear_rates
from minillm.training.sweep import best_rate, random_windows, side_by_side, sweep_rates

RNG = np.random.default_rng(0)
PARAMS = {"w": RNG.standard_normal((3, 2), np.float32), "b": np.zeros(2, np.float32)}
BATCHES = [(RNG.standard_normal((4, 3), np.float32), RNG.standard_normal((4, 2), np.float32)) for _ in range(5)]
RATES = linear_rates(0.1, 5, warmup_steps=2)


def squared(params, batch):
    x, y = batch
    return jnp.sum((x @ params["w"] + params["b"] - y) ** 2)


def squared_with_error(params, batch):
    return squared(params, batch), {"bias": params["b"], "rows": jnp.float32(len(batch[0]))}


def scaled(params, batch, frozen):
    return frozen["scale"] * squared(params, batch)


def by_hand(params, batches, rates, mask=None, adam=PLAIN, scale=1.0):
    """The same steps by NumPy: d sum (x w + b - y)^2 = 2 x^T r for w and 2 sum r for b."""
    state, losses = optimizer.adamw_init(params), []
    for (x, y), rate in zip(batches, rates, strict=True):
        rest = x @ params["w"] + params["b"] - y
        losses.append(scale * np.sum(rest**2))
        gradients = {"w": scale * 2 * x.T @ rest, "b": scale * 2 * rest.sum(0)}
        if mask:
            gradients = {name: np.where(mask[name], gradient, 0) for name, gradient in gradients.items()}
        if adam.clip_norm is not None:
            gradients = optimizer.clip_by_global_norm(gradients, adam.clip_norm)
        moved, state = optimizer.adamw_update(
            gradients, state, params, rate, adam.beta1, adam.beta2, weight_decay=adam.weight_decay
        )
        params = {name: np.where(mask[name], moved[name], params[name]) for name in moved} if mask else moved
    return params, np.array(losses)


def same(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), ours, theirs)


@pytest.mark.parametrize("adam", [PLAIN, Adam(0.9, 0.999, 0.3, None), Adam(clip_norm=1e-3)])
def test_the_steps_of_a_loop_by_hand(adam):
    fitted = fit(PARAMS, squared, BATCHES, RATES, adam=adam)
    params, losses = by_hand(PARAMS, BATCHES, RATES, adam=adam)
    same(fitted.params, params)
    same(fitted.losses, losses)


def test_a_mask_keeps_what_it_does_not_let_learn():
    # One whole leaf kept and half of another: with decay, which a mask of gradients alone would let through.
    mask, adam = {"w": np.array([[True, False]] * 3), "b": False}, Adam(weight_decay=0.5)
    fitted = fit(PARAMS, squared, BATCHES, RATES, mask=mask, adam=adam)
    same(fitted.params, by_hand(PARAMS, BATCHES, RATES, mask, adam)[0])
    np.testing.assert_array_equal(fitted.params["w"][:, 1], PARAMS["w"][:, 1])
    np.testing.assert_array_equal(fitted.params["b"], PARAMS["b"])
    assert (np.asarray(fitted.params["w"])[:, 0] != PARAMS["w"][:, 0]).all()


def test_the_frozen_part_is_the_losss_third_argument():
    fitted = fit(PARAMS, scaled, BATCHES, 0.05, frozen={"scale": np.float32(3)}, adam=Adam(clip_norm=None))
    params, losses = by_hand(PARAMS, BATCHES, [0.05] * 5, adam=Adam(clip_norm=None), scale=3.0)
    same(fitted.params, params)
    same(fitted.losses, losses)


def test_a_run_in_two_parts_is_the_whole_run():
    whole = fit(PARAMS, squared, BATCHES, RATES)
    first = fit(PARAMS, squared, BATCHES[:2], RATES[:2])
    second = fit(first.params, squared, BATCHES[2:], RATES[2:], optimizer=first.optimizer)
    jax.tree.map(np.testing.assert_array_equal, second.params, whole.params)
    # What the first part gave can still be read.
    assert int(first.optimizer.step) == 2 and np.isfinite(first.params["w"]).all()


def test_the_learning_rate_may_be_a_function_of_the_step():
    by_list, by_function = (fit(PARAMS, squared, BATCHES, rates) for rates in (RATES, lambda step: RATES[step]))
    jax.tree.map(np.testing.assert_array_equal, by_list.params, by_function.params)


def test_measurements_are_collected_and_may_move_parameters():
    def after(params, measured):
        return {**params, "b": measured["bias"] + 1}

    fitted = fit(PARAMS, squared_with_error, BATCHES, RATES, after=after)
    np.testing.assert_array_equal(fitted.measured["bias"][:, 0], np.arange(5))  # before each step
    np.testing.assert_array_equal(fitted.measured["rows"], np.full(5, 4))
    np.testing.assert_array_equal(fitted.params["b"], [5, 5])
    assert fitted.losses.shape == (5,)


def test_evaluation_before_between_and_after():
    weights = []

    def evaluate(params):
        weights.append(np.asarray(params["w"]))
        return len(weights)

    fitted = fit(PARAMS, squared, BATCHES, RATES, evaluate=evaluate, every=2)
    assert fitted.evaluations == {0: 1, 2: 2, 4: 3, 5: 4}
    np.testing.assert_array_equal(weights[0], PARAMS["w"])
    np.testing.assert_array_equal(weights[1], fit(PARAMS, squared, BATCHES[:2], RATES[:2]).params["w"])
    np.testing.assert_array_equal(weights[3], fitted.params["w"])


def test_seeds_side_by_side_share_one_program():
    traced = []

    def noisy(params, key):
        traced.append(None)
        return jnp.sum((params - jax.random.normal(key, (2,))) ** 2)

    def run(seed):
        return fit(jnp.zeros(2), noisy, jax.random.split(jax.random.key(seed), 20), 0.1).params

    alone = [run(seed) for seed in range(3)]
    together = side_by_side(run, range(3))
    assert len(traced) == 1
    np.testing.assert_array_equal(together, alone)
    assert not np.array_equal(alone[0], alone[1])


def test_what_is_wrong_is_said():
    with pytest.raises(InputError, match=r"^fit: 5 batches and 4 learning rates; give one each\.$"):
        fit(PARAMS, squared, BATCHES, RATES[:4])
    with pytest.raises(InputError, match=r"^fit: there is no batch; give at least one\.$"):
        fit(PARAMS, squared, [], 0.1)


def test_a_sweep_keeps_every_outcome_and_names_the_best_rate():
    def run(rate, seed):
        return {1.0: 5.0, 2.0: 3.0, 4.0: 4.0}[rate] + seed

    swept = sweep_rates(run, (1.0, 2.0, 4.0), range(2), score=float)
    assert (swept.rate, swept.best) == (2.0, [3.0, 4.0])
    assert swept.by_rate == {1.0: [5.0, 6.0], 2.0: [3.0, 4.0], 4.0: [4.0, 5.0]}


def test_random_windows_are_runs_of_the_text_up_to_its_end():
    rows = random_windows(np.arange(5), 4, 100, seed=[1, 2])
    assert (np.diff(rows, axis=1) == 1).all() and set(rows[:, 0]) == {0, 1}


def test_the_best_rate_lies_between_those_tried():
    # Losses 1, 0, 3 at log2 rates 0, 1, 2: 2 t^2 - 3 t + 1 has its lowest point at t = 3/4.
    assert best_rate([1, 2, 4], [1, 0, 3]) == (pytest.approx(2**0.75), True)
    assert best_rate([1, 2, 4, 8], [5, 1, 0, 3]) == (pytest.approx(2**1.75), True)  # its neighbours alone count
    assert best_rate([1, 2, 4], [3, 2, 1]) == (4, False)
    assert best_rate([1, 2, 4, 8], [3, 2, 1, np.nan]) == (4, False)
    assert best_rate([1, 2, 4], [1, 1, 1])[1] is False  # the first of equals is at the end


@pytest.mark.parametrize("rates, losses", [([1, 2], [0, 1]), ([2, 1, 4], [1, 0, 1]), ([0, 1, 2], [1, 0, 1])])
def test_rates_that_are_no_grid_are_refused(rates, losses):
    with pytest.raises(InputError, match="best_rate"):
        best_rate(rates, losses)
