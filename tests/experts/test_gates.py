"""Laws of gates (agreement of both sides: tests/house/test_twins.py)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minillm.config import MoEConfig
from minillm.experts.gates import noisy_logits, softmax_after_top_k_gates, softmax_gates, softmax_gates_naive
from minillm.experts.gates_vjp import softmax_after_top_k_gates_vjp, softmax_gates_vjp
from minillm.experts.moe_vjp import moe_vjp
from minillm.experts.routing_laws import chosen_experts, router_logits
from minillm.layers.softmax import softmax
from minillm.strategies import normal, seeds
from tests.experts.layers import layer_params


@given(router_logits, chosen_experts(3))
def test_the_gates_of_several_sum_to_one_and_that_of_one_is_its_probability(logits, chosen):
    for gates in (softmax_gates(logits, chosen), softmax_after_top_k_gates(logits, chosen)):
        np.testing.assert_allclose(gates.sum(-1), 1)
    probabilities = softmax(logits)
    np.testing.assert_array_equal(
        softmax_gates(logits, chosen, renormalise=False), np.take_along_axis(probabilities, chosen, -1)
    )
    one = chosen[:, :1]
    np.testing.assert_array_equal(softmax_gates(logits, one), np.take_along_axis(probabilities, one, -1))
    np.testing.assert_array_equal(softmax_after_top_k_gates(logits, one), 1)


@given(router_logits, st.sampled_from([1, 2, 5]).flatmap(chosen_experts))
def test_renormalised_probabilities_are_the_softmax_over_the_chosen(logits, chosen):
    np.testing.assert_allclose(softmax_gates(logits, chosen), softmax_gates_naive(logits, chosen), rtol=1e-12)


def test_gates_of_experts_whose_probabilities_round_to_zero_are_finite():
    """A selection bias can choose such; their probabilities over the sum of them would be 0 / 0."""
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
