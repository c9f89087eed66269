"""Laws of balance (agreement of both sides: tests/house/test_twins.py)."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.config import MoEConfig
from minillm.experts import balancing as numpy_balancing
from minillm.experts import balancing_jax
from minillm.experts.balancing import (
    expert_loads,
    load_balancing_loss,
    router_z_loss,
    routing_statistics,
    update_selection_bias,
)
from minillm.experts.balancing_vjp import load_balancing_loss_vjp
from minillm.experts.routing import choose_experts, route
from minillm.experts.routing_laws import chosen_experts, router_logits
from minillm.strategies import normal, seeds
from tests.experts.layers import ORACLE, some_of

both_sides = pytest.mark.parametrize("balancing", [numpy_balancing, balancing_jax], ids=["numpy", "jax"])


def test_losses_by_hand():
    # Probabilities (1/4, 3/4) and (1/2, 1/2), so P = (3/8, 5/8); both chose expert 1, so f = (0, 1): 2 x 5/8 = 5/4.
    # The logsumexps are ln 4 and ln 2: z-loss (4 + 1)/2 (ln 2)^2.
    logits, chosen = np.array([[0.0, np.log(3.0)], [0.0, 0.0]]), np.array([[1], [1]])
    np.testing.assert_allclose(load_balancing_loss(logits, chosen), 5 / 4)
    np.testing.assert_allclose(router_z_loss(logits), 2.5 * np.log(2) ** 2)


def test_statistics_by_hand():
    # Choices 0, 0, 0, 1 of two experts: loads 3/4 and 1/4, entropy (3/4 ln 4/3 + 1/4 ln 4) / ln 2 = 0.811278; the
    # largest is 3/2 of the mean 1/2. Even logits: the router knows nothing, entropy 1. One of 4 choices is dropped,
    # and no token is without.
    chosen, kept = np.array([[0, 0], [0, 1]]), np.array([[True, False], [True, True]])
    statistics = routing_statistics(np.zeros((2, 2)), chosen, kept)
    np.testing.assert_allclose(statistics.load, [0.75, 0.25])
    np.testing.assert_allclose(statistics[1:], [0.811278, 1, 1.5, 0.25, 0], rtol=1e-6)
    assert routing_statistics(np.zeros((2, 2)), chosen, 0 * kept > 0).unserved == 1


@both_sides
def test_the_losses_are_those_of_mixtral_and_switch(balancing):
    """Mixtral's f is not divided by k, so its loss is k times ours; and k of Switch is 1."""
    logits, real = ORACLE["logits"], np.arange(7) < 5
    two, one = choose_experts(logits, 2), choose_experts(logits, 1)
    for loss, expected in (
        (2 * balancing.load_balancing_loss(logits, two), "mixtral_balance"),
        (2 * balancing.load_balancing_loss(logits, two, real), "mixtral_balance_padded"),
        (balancing.load_balancing_loss(logits, one), "switch_balance"),
        (balancing.router_z_loss(logits), "switch_z"),
    ):
        np.testing.assert_allclose(loss, ORACLE[expected], rtol=2e-6, err_msg=expected)


@given(router_logits, st.sampled_from([1, 2, 5]).flatmap(chosen_experts))
def test_the_balancing_loss_is_one_where_probabilities_or_choices_are_even(logits, chosen):
    np.testing.assert_allclose(load_balancing_loss(np.zeros((7, 5)), chosen), 1, rtol=1e-15)
    even = (np.arange(5)[:, None] + np.arange(chosen.shape[1])) % 5  # five tokens, each expert as often as the others
    np.testing.assert_allclose(load_balancing_loss(logits[:5], even), 1, rtol=1e-15)


@both_sides
@pytest.mark.parametrize("k", [1, 2])
def test_at_uniform_routing_the_balancing_loss_is_exactly_one(balancing, k):
    even = (np.arange(8)[:, None] + np.arange(k)) % 4
    assert balancing.load_balancing_loss(np.zeros((8, 4)), even) == 1.0


def test_the_balancing_loss_is_E_on_one_expert_and_below_one_against_the_probabilities():
    sure = np.array([[0.0, 800.0, 0.0]] * 4)
    np.testing.assert_allclose(load_balancing_loss(sure, np.full((4, 1), 1)), 3)
    assert load_balancing_loss(sure, np.full((4, 1), 0)) < 1e-9  # as a selection bias could have it


@given(router_logits)
def test_a_step_down_the_balancing_loss_takes_from_the_crowded_expert(logits):
    chosen = np.full((7, 1), 3)
    [dlogits] = load_balancing_loss_vjp(logits, chosen)[1](1.0)
    assert (dlogits[:, 3] > 0).all()
    assert (np.delete(dlogits, 3, axis=1) < 0).all()


@given(router_logits, chosen_experts(2), seeds)
def test_padding_counts_in_no_loss_and_no_statistic(logits, chosen, seed):
    mask = some_of(5, 7, seed)
    junk = np.where(mask[:, None], logits, np.nan)
    kept = np.random.default_rng(seed + 1).random((7, 2)) < 0.5
    for side in (numpy_balancing, balancing_jax):
        for function, arguments in (
            (side.load_balancing_loss, (chosen,)),
            (side.router_z_loss, ()),
            (side.routing_statistics, (chosen, kept)),
        ):
            padded = function(junk, *arguments, mask)
            alone = function(logits[mask], *(argument[mask] for argument in arguments))
            for number, expected in zip(jax.tree.leaves(padded), jax.tree.leaves(alone), strict=True):
                np.testing.assert_allclose(number, expected, rtol=1e-5, atol=1e-7)


@given(router_logits, st.floats(-3, 3))
def test_the_z_loss_sees_what_the_probabilities_do_not(logits, shift):
    """Raising all logits changes no probability, but their size."""
    log_sums = np.log(np.exp(logits).sum(-1))
    np.testing.assert_allclose(router_z_loss(logits + shift), np.mean((log_sums + shift) ** 2), rtol=1e-12)


def test_bias_updates_even_out_a_collapsed_router():
    logits = normal(0, 200, 5) + np.array([4.0, 4.0, 0.0, 0.0, 0.0])
    bias, config = np.zeros(5), MoEConfig(5, k=1)
    before = expert_loads(route(logits, config).experts, 5)
    for _ in range(500):
        chosen = route(logits, config, selection_bias=bias).experts
        bias = update_selection_bias(bias, expert_loads(chosen, 5), rate=0.005)
    after = expert_loads(route(logits, config, selection_bias=bias).experts, 5)
    assert before.max() > 2 * before.mean()
    assert after.max() < 1.2 * after.mean()
