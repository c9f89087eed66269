"""Laws of the mixture of experts (the reference, and what the twin does beyond it; agreement: tests/test_twins.py)."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts import balancing as reference_balancing
from minillm.experts import balancing_jax as accelerated_balancing
from minillm.experts import mixture as reference_experts
from minillm.experts import mixture_jax as accelerated_experts
from minillm.experts import moe as reference_moe
from minillm.experts import moe_jax as accelerated_moe
from minillm.experts import routing as reference_routing
from minillm.experts import routing_jax as accelerated_routing
from minillm.experts.balancing import (
    expert_loads,
    load_balancing_loss,
    router_z_loss,
    routing_statistics,
    update_selection_bias,
)
from minillm.experts.balancing_vjp import load_balancing_loss_vjp
from minillm.experts.fast.row_layout import chunked
from minillm.experts.gates import noisy_logits, softmax_after_top_k_gates, softmax_gates, softmax_gates_naive
from minillm.experts.gates_vjp import softmax_after_top_k_gates_vjp, softmax_gates_vjp
from minillm.experts.mixture import feed_forward
from minillm.experts.mixture_laws import expert_weights
from minillm.experts.mixture_vjp import mixture_vjp
from minillm.experts.moe import auxiliary_loss, moe
from minillm.experts.moe_flax import MoE
from minillm.experts.moe_vjp import auxiliary_loss_vjp, moe_vjp
from minillm.experts.routing import choose_experts, expert_choice, route, within_capacity
from minillm.experts.routing_laws import chosen_experts, router_logits
from minillm.layers.softmax import softmax
from minillm.strategies import normal, seeds

ORACLE = {
    name: np.array(value)
    for name, value in json.loads(
        (Path(__file__).parents[1] / "oracle" / "moe.json").read_text(encoding="utf-8")
    ).items()
}

both_layers = pytest.mark.parametrize("layer", [reference_moe.moe, accelerated_moe.moe], ids=["numpy", "jax"])
both_routings = pytest.mark.parametrize("routing", [reference_routing, accelerated_routing], ids=["numpy", "jax"])
token_configs = st.sampled_from(
    [MoEConfig(5, k=1), MoEConfig(5, k=2), MoEConfig(5, k=3, renormalise=False), MoEConfig(5, k=2, softmax="after")]
)


def layer_params(seed, gated=True):
    return {"router": normal(seed, 7, 5), "experts": expert_weights(seed + 1, gated)}


def expert_of(params, index):
    return {name: weight[index] for name, weight in params["experts"].items()}


def hand_params(router):
    """D 1, E 2. At x = 1 expert 0 gives silu(2) 3 x 10 = 1.761594 x 30 = 52.84782, expert 1 the negative."""
    one = np.ones((1, 1))
    experts = {"gate": np.stack([2 * one, 2 * one]), "up": np.stack([3 * one, 3 * one])}
    return {"router": np.array([router]), "experts": {**experts, "down": np.stack([10 * one, -10 * one])}}


# By hand.


@both_layers
def test_by_hand(layer):
    # logits 0 and ln 3 are shares 1/4 and 3/4. Both experts: (1/4 - 3/4) 52.84782. The better alone, by its share:
    # -3/4 of it. With room for one token each, the second token finds expert 1 full.
    params, x = hand_params([0.0, np.log(3.0)]), np.ones((2, 1))
    np.testing.assert_allclose(layer(x, params, MoEConfig(2, k=2)), [[-26.42391]] * 2, rtol=1e-6)
    np.testing.assert_allclose(layer(x, params, MoEConfig(2, k=1)), [[-39.635865]] * 2, rtol=1e-6)
    full = layer(x, params, MoEConfig(2, k=1, capacity_factor=1.0))
    np.testing.assert_allclose(full, [[-39.635865], [0.0]], rtol=1e-6)
    assert full[1, 0] == 0


def test_losses_by_hand():
    # Shares (1/4, 3/4) and (1/2, 1/2), so P = (3/8, 5/8); both chose expert 1, so f = (0, 1): 2 x 5/8 = 5/4.
    # The logsumexps are ln 4 and ln 2: z-loss (4 + 1)/2 (ln 2)^2.
    logits, chosen = np.array([[0.0, np.log(3.0)], [0.0, 0.0]]), np.array([[1], [1]])
    np.testing.assert_allclose(load_balancing_loss(logits, chosen), 5 / 4)
    np.testing.assert_allclose(router_z_loss(logits), 2.5 * np.log(2) ** 2)


def test_capacity_by_hand():
    # 2 x 10 choices over 8 experts are 2.5 each, times 1.25 is 3.125: ceil gives 4, int would give 3. 20 x 0.55 is 11
    # although its floating-point number is a little more. No expert takes more tokens than there are.
    assert MoEConfig(8, k=2, capacity_factor=1.25).capacity(10) == 4
    assert MoEConfig(1, k=1, capacity_factor=1.1).capacity(10) == 10
    assert MoEConfig(2, k=2, capacity_factor=1.1 / 2).capacity(20) == 11
    assert MoEConfig(8, k=2).capacity(10) is None


# What Transformers makes of the same numbers (`tests/oracle/make_moe.py`).


def test_it_is_mixtrals_layer_values_and_gradients():
    experts = {name: ORACLE[name] for name in ("gate", "up", "down")}
    params, expected = {"router": ORACLE["router"], "experts": experts}, ORACLE["out"]
    out, vjp = moe_vjp(ORACLE["x"], params, MoEConfig(4))
    np.testing.assert_allclose(out, expected, atol=1e-6 * np.abs(expected).max())
    dx, dparams = vjp(ORACLE["g"])
    found = {"x": dx, "router": dparams["router"], **dparams["experts"]}
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, ORACLE["d" + name], atol=1e-6 * np.abs(ORACLE["d" + name]).max())
    twin = accelerated_moe.moe(*jax.tree.map(np.float32, (ORACLE["x"], params)), MoEConfig(4))
    np.testing.assert_allclose(twin, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("balancing", [reference_balancing, accelerated_balancing], ids=["numpy", "jax"])
def test_the_losses_are_those_of_mixtral_and_switch(balancing):
    """Mixtral's f is not divided by k, so its loss is k times ours; and k of Switch is 1."""
    logits, real = ORACLE["logits"], np.arange(7) < 5
    two, one = choose_experts(logits, 2), choose_experts(logits, 1)
    for found, expected in (
        (2 * balancing.load_balancing_loss(logits, two), "mixtral_balance"),
        (2 * balancing.load_balancing_loss(logits, two, real), "mixtral_balance_padded"),
        (balancing.load_balancing_loss(logits, one), "switch_balance"),
        (balancing.router_z_loss(logits), "switch_z"),
    ):
        np.testing.assert_allclose(found, ORACLE[expected], rtol=2e-6, err_msg=expected)


# Gates.


@given(router_logits, chosen_experts(3))
def test_the_gates_of_several_sum_to_one_and_those_of_one_are_shares(logits, chosen):
    for gates in (softmax_gates(logits, chosen), softmax_after_top_k_gates(logits, chosen)):
        np.testing.assert_allclose(gates.sum(-1), 1)
    shares = softmax(logits)
    np.testing.assert_array_equal(
        softmax_gates(logits, chosen, renormalise=False), np.take_along_axis(shares, chosen, -1)
    )
    one = chosen[:, :1]
    np.testing.assert_array_equal(softmax_gates(logits, one), np.take_along_axis(shares, one, -1))
    np.testing.assert_array_equal(softmax_after_top_k_gates(logits, one), 1)


@given(router_logits, st.sampled_from([1, 2, 5]).flatmap(chosen_experts))
def test_renormalised_shares_are_the_softmax_over_the_chosen(logits, chosen):
    np.testing.assert_allclose(softmax_gates(logits, chosen), softmax_gates_naive(logits, chosen), rtol=1e-12)


def test_gates_of_experts_whose_shares_round_to_zero_are_finite():
    """A selection bias can choose such; their shares over the sum of them would be 0 / 0."""
    logits, chosen = np.array([[500.0, -500.0, -500.0]], np.float32), np.array([[1, 2]])
    np.testing.assert_array_equal(softmax_gates(logits, chosen), [[0.5, 0.5]])


@given(router_logits, st.sampled_from([2, 5]).flatmap(chosen_experts))
def test_a_gates_gradient_by_the_logits_sums_to_zero(logits, chosen):
    g = normal(0, *chosen.shape)
    for vjp in (softmax_gates_vjp(logits, chosen, False)[1], softmax_after_top_k_gates_vjp(logits, chosen)[1]):
        np.testing.assert_allclose(vjp(g)[0].sum(-1), 0, atol=1e-14)


@given(router_logits, seeds)
def test_noise_that_is_zero_or_scaled_to_nothing_changes_nothing(logits, seed):
    noise = normal(seed, 7, 5)
    np.testing.assert_array_equal(noisy_logits(logits, noise, 0 * noise), logits)
    np.testing.assert_allclose(noisy_logits(logits, np.full((7, 5), -50.0), noise), logits, atol=1e-15)
    assert np.all(np.sign(noisy_logits(logits, logits, noise) - logits) == np.sign(noise))


@given(seeds, st.booleans())
def test_the_router_learns_at_top_1_only_if_the_softmax_comes_first(seed, gated):
    x, params = normal(seed, 6, 7), layer_params(seed + 1, gated)
    before, after = (
        moe_vjp(x, params, MoEConfig(5, k=1, softmax=softmax))[1](normal(seed + 2, 6, 7))[1]["router"]
        for softmax in ("before", "after")
    )
    assert np.abs(before).max() > 1e-4
    np.testing.assert_array_equal(after, 0)


# Routing.


@both_routings
def test_ties_go_to_the_lower_index(routing):
    logits = np.array([[1.0, 1.0, 1.0, 1.0], [0.0, -0.0, 2.0, 2.0], [-0.0, 0.0, -1.0, 0.0]])
    np.testing.assert_array_equal(routing.choose_experts(logits, 3), [[0, 1, 2], [2, 3, 0], [0, 1, 3]])
    np.testing.assert_array_equal(routing.expert_choice(np.zeros((3, 2)), 2), [[1, 1], [1, 1], [0, 0]])


@given(router_logits, st.sampled_from([1, 2, 5]))
def test_the_chosen_are_the_k_largest_in_order(logits, k):
    found = np.take_along_axis(logits, choose_experts(logits, k), -1)
    np.testing.assert_array_equal(found, np.sort(logits, -1)[:, ::-1][:, :k])


@given(router_logits, st.sampled_from([1, 2, 4]), seeds)
def test_a_selection_bias_changes_the_choice_and_not_the_gates(logits, k, seed):
    config, bias = MoEConfig(5, k=k, renormalise=False), np.zeros(5)
    bias[seed % 5] = 2.0  # more than any share
    routing = route(logits, config, selection_bias=bias)
    np.testing.assert_array_equal(routing.experts[:, 0], seed % 5)
    np.testing.assert_array_equal(routing.gates, np.take_along_axis(softmax(logits), routing.experts, -1))
    np.testing.assert_array_equal(
        route(logits, config, selection_bias=np.full(5, 3.0)).experts, route(logits, config).experts
    )


@given(seeds)
def test_the_selection_bias_gets_no_gradient(seed):
    params = {**layer_params(seed), "selection_bias": 0.3 * normal(seed + 5, 5)}
    _, dparams = moe_vjp(normal(seed + 6, 6, 7), params, MoEConfig(5))[1](np.ones((6, 7)))
    np.testing.assert_array_equal(dparams["selection_bias"], 0)


@given(seeds, st.sampled_from([1, 2, 3]), st.integers(1, 7))
def test_first_choices_take_room_before_second_ones_and_earlier_tokens_before_later(seed, k, capacity):
    chosen = np.random.default_rng(seed).random((7, 5)).argsort(-1)[:, :k]
    kept = within_capacity(chosen, 5, capacity)
    queue = [(choice, token) for choice in range(k) for token in range(7)]
    for expert in range(5):
        waiting = [place for place in queue if chosen[place[::-1]] == expert]
        assert [kept[place[::-1]] for place in waiting] == [index < capacity for index in range(len(waiting))]


@given(router_logits, st.integers(1, 7))
def test_where_experts_choose_each_gets_its_capacity_of_the_best(logits, capacity):
    taken = expert_choice(logits, capacity)
    np.testing.assert_array_equal(taken.sum(0), capacity)
    shares = softmax(logits)
    worst_taken = np.where(taken, shares, 1).min(0)
    assert (np.where(taken, 0, shares).max(0) <= worst_taken).all()


@given(router_logits, seeds)
def test_experts_take_no_padding_not_even_to_be_full(logits, seed):
    mask = np.random.default_rng(seed).random(7) < 0.5
    taken = expert_choice(logits, 5, mask)
    assert not taken[~mask].any()
    np.testing.assert_array_equal(taken.sum(0), min(5, mask.sum()))


@given(router_logits, token_configs, seeds)
def test_loads_sum_to_k_times_the_tokens(logits, config, seed):
    mask = np.random.default_rng(seed).random(7) < 0.7
    chosen = route(logits, config, mask).experts
    assert expert_loads(chosen, 5).sum() == 7 * config.k
    assert expert_loads(chosen, 5, mask).sum() == mask.sum() * config.k


# Balance.


@given(router_logits, st.sampled_from([1, 2, 5]).flatmap(chosen_experts))
def test_the_balancing_loss_is_one_where_shares_or_choices_are_even(logits, chosen):
    np.testing.assert_allclose(load_balancing_loss(np.zeros((7, 5)), chosen), 1, rtol=1e-15)
    even = (np.arange(5)[:, None] + np.arange(chosen.shape[1])) % 5  # five tokens, each expert as often as the others
    np.testing.assert_allclose(load_balancing_loss(logits[:5], even), 1, rtol=1e-15)


@pytest.mark.parametrize("side", [reference_balancing, accelerated_balancing], ids=["numpy", "jax"])
@pytest.mark.parametrize("k", [1, 2])
def test_at_uniform_routing_the_balancing_loss_is_exactly_one(side, k):
    even = (np.arange(8)[:, None] + np.arange(k)) % 4
    assert side.load_balancing_loss(np.zeros((8, 4)), even) == 1.0


def test_the_balancing_loss_is_E_on_one_expert_and_below_one_against_the_shares():
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
    mask = np.random.default_rng(seed).random(7) < 0.6
    junk = np.where(mask[:, None], logits, np.nan)
    kept = np.random.default_rng(seed + 1).random((7, 2)) < 0.5
    for side in (reference_balancing, accelerated_balancing):
        for function, arguments in (
            (side.load_balancing_loss, (chosen,)),
            (side.router_z_loss, ()),
            (side.routing_statistics, (chosen, kept)),
        ):
            padded = function(junk, *arguments, mask)
            alone = function(logits[mask], *(argument[mask] for argument in arguments))
            for found, expected in zip(jax.tree.leaves(padded), jax.tree.leaves(alone), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@given(router_logits, st.floats(-3, 3))
def test_the_z_loss_sees_what_the_shares_do_not(logits, shift):
    """Raising all logits changes no share, but their size."""
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


def test_statistics_by_hand():
    # Choices 0, 0, 0, 1 of two experts: loads 3/4 and 1/4, entropy (3/4 ln 4/3 + 1/4 ln 4) / ln 2 = 0.811278; the
    # largest is 3/2 of the mean 1/2. Even logits: the router knows nothing, entropy 1. One of 4 choices is dropped,
    # and no token is without.
    chosen, kept = np.array([[0, 0], [0, 1]]), np.array([[True, False], [True, True]])
    found = routing_statistics(np.zeros((2, 2)), chosen, kept)
    np.testing.assert_allclose(found.load, [0.75, 0.25])
    np.testing.assert_allclose(found[1:], [0.811278, 1, 1.5, 0.25, 0], rtol=1e-6)
    assert routing_statistics(np.zeros((2, 2)), chosen, 0 * kept > 0).unserved == 1


# The layer.


@given(seeds, st.booleans(), st.sampled_from(["before", "after"]))
def test_k_equal_to_E_is_the_dense_mixture(seed, gated, softmax_place):
    x, params = normal(seed, 6, 7), layer_params(seed + 1, gated)
    shares = softmax(x @ params["router"])
    dense = sum(shares[:, [i]] * feed_forward(x, expert_of(params, i)) for i in range(5))
    np.testing.assert_allclose(moe(x, params, MoEConfig(5, k=5, softmax=softmax_place)), dense, atol=1e-12)


@both_layers
@given(seeds, token_configs)
@settings(max_examples=10)
def test_permuting_tokens_permutes_outputs(layer, seed, config):
    x, params, order = normal(seed, 6, 7), layer_params(seed + 1), np.random.default_rng(seed).permutation(6)
    np.testing.assert_allclose(layer(x[order], params, config), layer(x, params, config)[order], atol=1e-5)


@both_layers
@given(seeds, token_configs)
@settings(max_examples=10)
def test_without_capacity_a_token_does_not_know_its_batch(layer, seed, config):
    x, params = normal(seed, 6, 7), layer_params(seed + 1)
    alone = np.concatenate([layer(x[t : t + 1], params, config) for t in range(6)])
    np.testing.assert_allclose(layer(x, params, config), alone, atol=1e-5)


@both_layers
@given(seeds, st.sampled_from([None, 0.7, 1.5]), st.booleans(), st.booleans())
@settings(max_examples=10)
def test_permuting_experts_changes_nothing(layer, seed, factor, experts_choose, biased):
    x, params, order = normal(seed, 6, 7), layer_params(seed + 1), np.random.default_rng(seed).permutation(5)
    choice = "expert" if experts_choose and factor else "token"
    config = MoEConfig(5, k=2, choice=choice, capacity_factor=factor)
    permuted = {
        "router": params["router"][:, order],
        "experts": {name: weight[order] for name, weight in params["experts"].items()},
    }
    if biased:
        params["selection_bias"] = 0.3 * normal(seed + 2, 5)
        permuted["selection_bias"] = params["selection_bias"][order]
    np.testing.assert_allclose(layer(x, permuted, config), layer(x, params, config), atol=1e-5)


@both_layers
@given(seeds, st.sampled_from([1, 2]))
@settings(max_examples=10)
def test_a_dropped_token_is_exactly_zero_and_the_others_are_as_before(layer, seed, k):
    """So that its block's output is the residual, bit for bit."""
    x, params = normal(seed, 12, 7), layer_params(seed + 1)
    config = MoEConfig(5, k=k, capacity_factor=0.4)
    kept = route(x @ params["router"], config).kept
    out = np.asarray(layer(x, params, config))
    gone = ~kept.any(-1)
    assert gone.any()
    np.testing.assert_array_equal(out[gone], 0)
    np.testing.assert_array_equal((x + out)[gone], x[gone])
    whole, free = kept.all(-1), np.asarray(layer(x, params, MoEConfig(5, k=k)))
    np.testing.assert_allclose(out[whole], free[whole], atol=1e-5)


@both_layers
@given(seeds, st.sampled_from([1, 2, 5]), st.booleans())
@settings(max_examples=10)
def test_enough_capacity_is_no_capacity(layer, seed, k, gated):
    x, params = normal(seed, 6, 7), layer_params(seed + 1, gated)
    unbounded, roomy = layer(x, params, MoEConfig(5, k=k)), layer(x, params, MoEConfig(5, k=k, capacity_factor=5 / k))
    np.testing.assert_allclose(roomy, unbounded, atol=1e-5)


@both_layers
@given(seeds, st.sampled_from([None, 0.6]), st.booleans())
@settings(max_examples=10)
def test_padding_takes_no_room_and_what_stands_there_does_not_matter(layer, seed, factor, shared):
    """Real tokens after padding get what they get without it, as long as the capacity is the same."""
    x, params = normal(seed, 12, 7), layer_params(seed + 1)
    if shared:
        params["shared"] = expert_of(layer_params(seed + 2), 0)
    mask = np.random.default_rng(seed).random(12) < 0.5
    junk, config = np.where(mask[:, None], x, np.nan), MoEConfig(5, k=2, capacity_factor=factor)
    padded = np.asarray(layer(junk, params, config, mask))
    np.testing.assert_array_equal(padded[~mask], 0)
    if factor:
        real = mask.sum()
        capacity = config.capacity(12)
        config = MoEConfig(5, k=2, capacity_factor=capacity * 5 / (2 * real)) if real else config
        assert config.capacity(int(real)) == min(capacity, real)
    np.testing.assert_allclose(padded[mask], layer(x[mask], params, config), atol=1e-5)


@given(seeds, st.booleans())
def test_a_shared_expert_is_one_more_that_all_pass(seed, gated):
    x, params = normal(seed, 6, 7), layer_params(seed + 1, gated)
    shared = expert_of(layer_params(seed + 2, gated), 3)
    np.testing.assert_allclose(
        moe(x, {**params, "shared": shared}, MoEConfig(5)) - moe(x, params, MoEConfig(5)),
        feed_forward(x, shared),
        atol=1e-12,
    )


@given(seeds, token_configs)
def test_an_expert_works_on_its_tokens_only(seed, config):
    x, params, worked = normal(seed, 6, 7), layer_params(seed + 1), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            reference_experts,
            "feed_forward",
            lambda rows, weights: worked.append(len(rows)) or feed_forward(rows, weights),
        )
        moe(x, params, config)
    np.testing.assert_array_equal(worked, expert_loads(route(x @ params["router"], config).experts, 5))


@given(seeds)
def test_the_layers_auxiliary_loss_is_the_weighted_sum_of_both(seed):
    x, params = normal(seed, 6, 7), layer_params(seed + 1)
    logits = x @ params["router"]
    chosen = route(logits, MoEConfig(5)).experts
    found = auxiliary_loss(x, params, MoEConfig(5, balance_weight=0.25, z_weight=0.5))
    np.testing.assert_allclose(found, 0.25 * load_balancing_loss(logits, chosen) + 0.5 * router_z_loss(logits))
    at_rest = {**params, "router": 0 * params["router"]}
    np.testing.assert_allclose(
        auxiliary_loss(x, at_rest, MoEConfig(5, balance_weight=1.0, z_weight=0.0)), 1, rtol=1e-15
    )


@given(seeds)
def test_the_losses_reach_the_router_and_no_expert(seed):
    params = {**layer_params(seed), "shared": expert_of(layer_params(seed + 1), 0)}
    _, dparams = auxiliary_loss_vjp(normal(seed + 2, 6, 7), params, MoEConfig(5))[1](1.0)
    assert np.abs(dparams["router"]).max() > 1e-5
    assert not any(leaf.any() for leaf in jax.tree.leaves({**dparams, "router": np.zeros(1)}))


# What has no tokens, and what cannot be.


@given(seeds, st.booleans())
def test_an_expert_without_tokens_gets_no_gradient(seed, gated):
    x, weights = normal(seed, 6, 7), expert_weights(seed, gated)
    chosen, kept = np.tile(np.array([[1, 3]]), (6, 1)), np.ones((6, 2), bool)
    kept[:, 1] = False
    gates, g = normal(seed + 1, 6, 2), normal(seed + 2, 6, 7)
    _, by_hand, dweights = mixture_vjp(x, gates, chosen, kept, weights)[1](g)
    with jax.enable_x64(True):
        _, vjp = jax.vjp(lambda gates, w: accelerated_experts.mixture(x, gates, chosen, kept, w), gates, weights)
        twins = vjp(g)
    for dgates, found in ((by_hand, dweights), twins):
        np.testing.assert_array_equal(dgates[:, 1], 0)
        for leaf in found.values():
            np.testing.assert_array_equal(np.asarray(leaf)[[0, 2, 3, 4]], 0)
            assert np.abs(leaf[1]).max() > 1e-6


@both_layers
@pytest.mark.parametrize("choice", ["token", "expert"])
def test_an_empty_batch_is_an_empty_batch(layer, choice):
    factor = 1.0 if choice == "expert" else None
    params, config = layer_params(0), MoEConfig(5, choice=choice, capacity_factor=factor)
    assert layer(np.ones((2, 0, 7)), params, config).shape == (2, 0, 7)
    losses = (auxiliary_loss, accelerated_moe.auxiliary_loss)
    assert [float(loss(np.ones((0, 7)), params, config)) for loss in losses] == [0, 0]
    _, by_hand = moe_vjp(np.ones((0, 7)), params, config)[1](np.ones((0, 7)))
    by_jax = jax.grad(lambda params: accelerated_moe.moe(jnp.ones((0, 7)), params, config).sum())(params)
    for tree in (by_hand, by_jax):
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(tree))


@both_layers
@pytest.mark.parametrize("factor", [None, 1.0])
def test_a_batch_of_padding_is_zero_and_so_is_its_gradient(layer, factor):
    params, config, mask = layer_params(0), MoEConfig(5, capacity_factor=factor), np.zeros(4, bool)
    x = np.full((4, 7), np.nan)
    np.testing.assert_array_equal(layer(x, params, config, mask), 0)
    assert auxiliary_loss(x, params, config, mask) == accelerated_moe.auxiliary_loss(x, params, config, mask) == 0
    by_hand = moe_vjp(x, params, config, mask)[1](np.ones((4, 7)))

    def total(x, params):
        return accelerated_moe.moe(x, params, config, mask).sum() + accelerated_moe.auxiliary_loss(
            x, params, config, mask
        )

    for tree in (by_hand, jax.grad(total, (0, 1))(jnp.asarray(x), params)):
        assert all(np.array_equal(leaf, np.zeros_like(leaf)) for leaf in jax.tree.leaves(tree))


@both_layers
@pytest.mark.parametrize("where", ["x", "router"])
def test_router_logits_that_are_no_numbers_are_refused(layer, where):
    params, x = layer_params(0), normal(1, 4, 7)
    if where == "x":
        x[2, 3] = np.nan
    else:
        params["router"][3, 2] = np.inf
    token = 2 if where == "x" else 0
    with pytest.raises(InputError, match=f"the router's logits of token {token} are not all finite"):
        layer(x, params, MoEConfig(5))
    with pytest.raises(InputError, match=f"the router's logits of token {token} are not all finite"):
        (auxiliary_loss if layer is moe else accelerated_moe.auxiliary_loss)(x, params, MoEConfig(5))


@pytest.mark.parametrize("factor", [None, 0.7])
@pytest.mark.parametrize("where", ["x", "router"])
def test_inside_jit_a_token_without_logits_is_padding_forward_and_backward(where, factor):
    params, x = {**layer_params(0), "shared": expert_of(layer_params(3), 0)}, normal(1, 4, 7)
    config, mask = MoEConfig(5, capacity_factor=factor, balance_weight=1.0), np.ones(4, bool)
    if where == "x":
        x[2, 3], mask[2] = np.nan, False
    else:
        params["router"][3, 2], mask[:] = np.nan, False

    def total(x, params):
        out = accelerated_moe.moe(x, params, config)
        return jnp.sum(out * normal(2, 4, 7)) + accelerated_moe.auxiliary_loss(x, params, config), out

    with jax.enable_x64(True):
        gradients, out = jax.jit(jax.grad(total, (0, 1), has_aux=True))(x, params)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, out)))
        np.testing.assert_array_equal(out[~mask], 0)
        np.testing.assert_array_equal(gradients[0][~mask], 0)
        if where == "x":
            np.testing.assert_allclose(out, moe(x, params, config, mask), atol=1e-12)
            _, dparams = moe_vjp(x, params, config, mask)[1](normal(2, 4, 7))
            np.testing.assert_allclose(gradients[1]["experts"]["up"], dparams["experts"]["up"], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 6}, "k is 6 of 5 experts; it must be from 1 to 5"),
        ({"k": 0}, "k is 0 of 5 experts"),
        ({"num_experts": 0}, "num_experts is 0"),
        ({"capacity_factor": 0.0}, "capacity_factor is 0.0; it must be positive and finite"),
        ({"capacity_factor": float("nan")}, "capacity_factor is nan"),
        ({"choice": "both"}, "choice is 'both'; it must be token or expert"),
        ({"softmax": "never"}, "softmax is 'never'; it must be before or after"),
        ({"choice": "expert"}, "where experts choose, give a capacity_factor"),
        ({"z_weight": -1.0}, "z_weight is -1.0; it must be 0 or more"),
    ],
)
def test_a_routing_that_cannot_be_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        MoEConfig(**{"num_experts": 5, **change})


@both_routings
def test_what_does_not_fit_is_named(routing):
    logits, chosen = normal(0, 4, 5), np.zeros((4, 1), int)
    side = {reference_routing: reference_experts, accelerated_routing: accelerated_experts}[routing]
    layer = {reference_routing: moe, accelerated_routing: accelerated_moe.moe}[routing]
    weights, params = expert_weights(0, True), layer_params(0)
    kept, x = chosen == 0, normal(1, 4, 7)
    for call, message in (
        (lambda: routing.choose_experts(logits, 6), "k is 6 of 5 experts; it must be from 1 to 5"),
        (lambda: routing.within_capacity(chosen, 5, 0), "capacity is 0; an expert must take at least 1 token"),
        (lambda: routing.expert_choice(logits, 5), "each expert is to take 5 of 4 tokens; there are too few"),
        (lambda: routing.route(logits, MoEConfig(6)), "logits are for 5 experts, and config for 6"),
        (lambda: routing.choose_experts(np.full((1, 5), np.nan), 1), "logits of token 0 are not all finite"),
        (lambda: side.mixture(x, 1.0 * kept, chosen + 5, kept, weights), "chosen from 5 to 5; there are 5, from 0"),
        (
            lambda: side.mixture(x, 1.0 * kept, chosen, kept, {**weights, "gate": weights["gate"][:4]}),
            r"gate has shape \(4, 7, 11\), but 5 experts from 7 to 11 and back need \(5, 7, 11\)",
        ),
        (lambda: layer(x, params, MoEConfig(5), noise=normal(0, 4, 5)), r'there is noise, but no params\["noise"\]'),
        (
            lambda: layer(x, {**params, "noise": params["router"]}, MoEConfig(5), noise=normal(0, 3, 5)),
            r"noise has shape \(3, 5\); of the router's logits it is \(4, 5\)",
        ),
    ):
        with pytest.raises(InputError, match=message):
            call()


# The twin's own: rows in chunks.


def loads_of(kind, num_tokens, num_experts, seed):
    """Choices of two experts a token, from even to all alike."""
    random = np.random.default_rng(seed)
    popularity = {
        "even": np.zeros(num_experts),
        "skewed": -np.arange(num_experts),
        "alike": -9.0 * np.arange(num_experts),
    }
    logits = random.gumbel(size=(num_tokens, num_experts)) + popularity[kind]
    return np.argsort(-logits, axis=-1)[:, :2].astype(np.int32)


@pytest.mark.parametrize("kind", ["even", "skewed", "alike"])
@pytest.mark.parametrize(("num_tokens", "num_experts"), [(97, 5), (61, 13), (5, 2)])
@pytest.mark.parametrize("gated", [True, False], ids=["swiglu", "mlp"])
def test_chunks_of_every_size_give_what_the_reference_gives(kind, num_tokens, num_experts, gated):
    weights = expert_weights(1, gated, num_experts)
    x, gates, g = normal(2, num_tokens, 7), normal(3, num_tokens, 2), normal(4, num_tokens, 7)
    chosen = loads_of(kind, num_tokens, num_experts, 5)
    kept = np.random.default_rng(6).random(chosen.shape) < 0.8
    out, vjp = mixture_vjp(x, gates, chosen, kept, weights)
    with jax.enable_x64(True):
        found, vjp_of_jax = jax.vjp(
            jax.jit(lambda x, gates, weights: accelerated_experts.mixture(x, gates, chosen, kept, weights)),
            x,
            gates,
            weights,
        )
        pairs = zip(jax.tree.leaves((found, *vjp_of_jax(g))), jax.tree.leaves((out, *vjp(g))), strict=True)
        for ours, expected in pairs:
            np.testing.assert_allclose(ours, expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["even", "skewed", "alike"])
@pytest.mark.parametrize(("num_tokens", "num_experts"), [(97, 5), (61, 13), (5, 2), (2048, 64)])
def test_chunks_cover_every_kept_choice_once_and_little_else(kind, num_tokens, num_experts):
    chosen = loads_of(kind, num_tokens, num_experts, 0)
    kept = np.random.default_rng(1).random(chosen.shape) < 0.9
    layout, chunks = jax.jit(lambda: chunked(jnp.asarray(chosen), jnp.asarray(kept), num_experts))()
    sizes = tuple(int(size) for size in chunks.sizes)
    work = [(int(e), i * sizes[-1], sizes[-1]) for i, e in enumerate(chunks.whole_experts[: int(chunks.whole)])]
    rests = zip(chunks.rest_experts, chunks.rest_firsts, chunks.rest_lengths, strict=True)
    work += [tuple(int(number) for number in rest) for rest in rests if rest[2] > 0]
    owner = np.full(len(layout.token), -1)
    for expert, first, length in work:
        assert (owner[first : first + length] == -1).all()
        owner[first : first + length] = expert
    rows, tokens = np.asarray(layout.row), np.asarray(layout.token)
    np.testing.assert_array_equal(owner[rows[kept]], chosen[kept])
    np.testing.assert_array_equal(tokens[rows[kept]], np.nonzero(kept)[0])
    assert (owner >= 0).sum() == kept.sum() == len(set(rows[kept].tolist()))
    assert (rows[~kept] == len(tokens)).all()
    computed = sum(next(size for size in sizes if size >= length) for _, _, length in work)
    assert computed <= 1.25 * kept.sum() + sizes[0] * num_experts


def test_the_module_holds_the_tree_and_nothing_else():
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), layer_params(0))
    params["selection_bias"] = jnp.zeros(5)
    config, x = MoEConfig(5), jnp.asarray(normal(1, 2, 3, 7), jnp.float32)
    module = MoE.from_params(config, params)
    np.testing.assert_array_equal(module(x), accelerated_moe.moe(x, params, config))
    np.testing.assert_array_equal(module.auxiliary_loss(x), accelerated_moe.auxiliary_loss(x, params, config))
    gradient = nnx.grad(lambda module: module(x).sum())(module)
    expected = jax.grad(lambda params: accelerated_moe.moe(x, params, config).sum())(params)
    np.testing.assert_allclose(gradient["params"]["router"][...], expected["router"], atol=1e-6)
    assert set(gradient["params"]) == {"router", "experts"}  # no gradient trains the selection bias
