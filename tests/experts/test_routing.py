"""Laws of routing (agreement of both sides: tests/house/test_twins.py)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts import routing as numpy_routing
from minillm.experts import routing_jax
from minillm.experts.balancing import expert_loads
from minillm.experts.moe_vjp import moe_vjp
from minillm.experts.routing import choose_experts, expert_choice, route
from minillm.experts.routing_laws import router_logits
from minillm.layers.softmax import softmax
from minillm.strategies import normal, seeds
from tests.experts.layers import layer_params, token_configs

both_routings = pytest.mark.parametrize("routing", [numpy_routing, routing_jax], ids=["numpy", "jax"])


def test_capacity_by_hand():
    # 2 x 10 choices over 8 experts are 2.5 each, times 1.25 is 3.125: ceil gives 4, int would give 3. 20 x 0.55 is 11
    # although its floating-point number is a little more. No expert takes more tokens than there are.
    assert MoEConfig(8, k=2, capacity_factor=1.25).capacity(10) == 4
    assert MoEConfig(1, k=1, capacity_factor=1.1).capacity(10) == 10
    assert MoEConfig(2, k=2, capacity_factor=1.1 / 2).capacity(20) == 11
    assert MoEConfig(8, k=2).capacity(10) is None


@both_routings
def test_ties_go_to_the_lower_index(routing):
    logits = np.array([[1.0, 1.0, 1.0, 1.0], [0.0, -0.0, 2.0, 2.0], [-0.0, 0.0, -1.0, 0.0]])
    np.testing.assert_array_equal(routing.choose_experts(logits, 3), [[0, 1, 2], [2, 3, 0], [0, 1, 3]])
    np.testing.assert_array_equal(routing.expert_choice(np.zeros((3, 2)), 2), [[1, 1], [1, 1], [0, 0]])


@given(router_logits, st.sampled_from([1, 2, 5]))
def test_the_chosen_are_the_k_largest_in_order(logits, k):
    chosen = np.take_along_axis(logits, choose_experts(logits, k), -1)
    np.testing.assert_array_equal(chosen, np.sort(logits, -1)[:, ::-1][:, :k])


@given(router_logits, st.sampled_from([1, 2, 4]), seeds)
def test_a_selection_bias_changes_the_choice_and_not_the_gates(logits, k, seed):
    config, bias = MoEConfig(5, k=k, renormalise=False), np.zeros(5)
    bias[seed % 5] = 2.0  # more than any probability
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


@given(router_logits, st.integers(1, 7))
def test_where_experts_choose_each_gets_its_capacity_of_the_best(logits, capacity):
    taken = expert_choice(logits, capacity)
    np.testing.assert_array_equal(taken.sum(0), capacity)
    probabilities = softmax(logits)
    worst_taken = np.where(taken, probabilities, 1).min(0)
    assert (np.where(taken, 0, probabilities).max(0) <= worst_taken).all()


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
    for call, message in (
        (lambda: routing.choose_experts(logits, 6), "k is 6 of 5 experts; it must be from 1 to 5"),
        (lambda: routing.within_capacity(chosen, 5, 0), "capacity is 0; an expert must take at least 1 token"),
        (lambda: routing.expert_choice(logits, 5), "each expert is to take 5 of 4 tokens; there are too few"),
        (lambda: routing.route(logits, MoEConfig(6)), "logits are for 5 experts, and config for 6"),
        (lambda: routing.choose_experts(np.full((1, 5), np.nan), 1), "logits of token 0 are not all finite"),
    ):
        with pytest.raises(InputError, match=message):
            call()
