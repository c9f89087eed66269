"""Laws of the layer of experts (both sides agree: tests/house/test_twins.py; its forms agree: test_fast_forms.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts import mixture as numpy_mixture
from minillm.experts import mixture_jax, moe_jax
from minillm.experts.balancing import expert_loads, load_balancing_loss, router_z_loss
from minillm.experts.fast import choose
from minillm.experts.mixture import expert_of, feed_forward
from minillm.experts.mixture_laws import expert_weights
from minillm.experts.mixture_vjp import mixture_vjp
from minillm.experts.moe import auxiliary_loss, moe
from minillm.experts.moe_flax import MoE
from minillm.experts.moe_vjp import auxiliary_loss_vjp, moe_vjp
from minillm.experts.routing import route
from minillm.layers.softmax import softmax
from minillm.strategies import normal, seeds
from tests.experts.layers import ORACLE, layer_params, some_of, token_configs

each_layer = pytest.mark.parametrize("layer", [moe, moe_jax.moe, choose.moe], ids=["numpy", "jax", "fast"])
both_layers = pytest.mark.parametrize("layer", [moe, moe_jax.moe], ids=["numpy", "jax"])


def hand_params(router):
    """D 1, E 2. At x = 1 expert 0 gives silu(2) 3 x 10 = 1.761594 x 30 = 52.84782, expert 1 the negative."""
    one = np.ones((1, 1))
    experts = {"gate": np.stack([2 * one, 2 * one]), "up": np.stack([3 * one, 3 * one])}
    return {"router": np.array([router]), "experts": {**experts, "down": np.stack([10 * one, -10 * one])}}


@each_layer
def test_by_hand(layer):
    # logits 0 and ln 3 are probabilities 1/4 and 3/4. Both experts: (1/4 - 3/4) 52.84782. The better alone, by its
    # probability: -3/4 of it. With a capacity of one token each, the second token finds expert 1 full.
    params, x = hand_params([0.0, np.log(3.0)]), np.ones((2, 1))
    np.testing.assert_allclose(layer(x, params, MoEConfig(2, k=2)), [[-26.42391]] * 2, rtol=1e-6)
    np.testing.assert_allclose(layer(x, params, MoEConfig(2, k=1)), [[-39.635865]] * 2, rtol=1e-6)
    full = layer(x, params, MoEConfig(2, k=1, capacity_factor=1.0))
    np.testing.assert_allclose(full, [[-39.635865], [0.0]], rtol=1e-6)
    assert full[1, 0] == 0


def test_it_is_mixtrals_layer_values_and_gradients():
    experts = {name: ORACLE[name] for name in ("gate", "up", "down")}
    params, expected = {"router": ORACLE["router"], "experts": experts}, ORACLE["out"]
    out, vjp = moe_vjp(ORACLE["x"], params, MoEConfig(4))
    np.testing.assert_allclose(out, expected, atol=1e-6 * np.abs(expected).max())
    dx, dparams = vjp(ORACLE["g"])
    gradients = {"x": dx, "router": dparams["router"], **dparams["experts"]}
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, ORACLE["d" + name], atol=1e-6 * np.abs(ORACLE["d" + name]).max())
    for layer in (moe_jax.moe, choose.moe):
        twin = layer(*jax.tree.map(np.float32, (ORACLE["x"], params)), MoEConfig(4))
        np.testing.assert_allclose(twin, expected, atol=1e-5 * np.abs(expected).max())


@given(seeds, st.booleans(), st.sampled_from(["before", "after"]))
def test_k_equal_to_E_is_the_dense_mixture(seed, gated, softmax_place):
    x, params = normal(seed, 6, 7), layer_params(seed + 1, gated)
    probabilities = softmax(x @ params["router"])
    dense = sum(probabilities[:, [i]] * feed_forward(x, expert_of(params["experts"], i)) for i in range(5))
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


@each_layer
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
    unbounded, bounded = layer(x, params, MoEConfig(5, k=k)), layer(x, params, MoEConfig(5, k=k, capacity_factor=5 / k))
    np.testing.assert_allclose(bounded, unbounded, atol=1e-5)


@each_layer
@given(seeds, st.sampled_from([None, 0.6]), st.booleans())
@settings(max_examples=10)
def test_padding_uses_no_capacity_and_what_stands_there_does_not_matter(layer, seed, factor, shared):
    """Real tokens after padding get what they get without it, as long as the capacity is the same."""
    x, params = normal(seed, 12, 7), layer_params(seed + 1)
    if shared:
        params["shared"] = expert_of(layer_params(seed + 2)["experts"], 0)
    mask = some_of(6, 12, seed)
    junk, config = np.where(mask[:, None], x, np.nan), MoEConfig(5, k=2, capacity_factor=factor)
    padded = np.asarray(layer(junk, params, config, mask))
    np.testing.assert_array_equal(padded[~mask], 0)
    if factor:
        assert config.capacity(12) == 3
        config = MoEConfig(5, k=2, capacity_factor=3 * 5 / (2 * 6))
        assert config.capacity(6) == 3
    np.testing.assert_allclose(padded[mask], layer(x[mask], params, config), atol=1e-5)


@given(seeds, st.booleans())
def test_a_shared_expert_is_one_more_that_all_pass(seed, gated):
    x, params = normal(seed, 6, 7), layer_params(seed + 1, gated)
    shared = expert_of(layer_params(seed + 2, gated)["experts"], 3)
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
            numpy_mixture,
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
    loss = auxiliary_loss(x, params, MoEConfig(5, balance_weight=0.25, z_weight=0.5))
    np.testing.assert_allclose(loss, 0.25 * load_balancing_loss(logits, chosen) + 0.5 * router_z_loss(logits))
    at_rest = {**params, "router": 0 * params["router"]}
    np.testing.assert_allclose(
        auxiliary_loss(x, at_rest, MoEConfig(5, balance_weight=1.0, z_weight=0.0)), 1, rtol=1e-15
    )


@given(seeds)
def test_the_losses_reach_the_router_and_no_expert(seed):
    params = {**layer_params(seed), "shared": expert_of(layer_params(seed + 1)["experts"], 0)}
    _, dparams = auxiliary_loss_vjp(normal(seed + 2, 6, 7), params, MoEConfig(5))[1](1.0)
    assert np.abs(dparams["router"]).max() > 1e-5
    assert not any(leaf.any() for leaf in jax.tree.leaves({**dparams, "router": np.zeros(1)}))


@given(seeds, st.booleans())
def test_an_expert_without_tokens_gets_no_gradient(seed, gated):
    x, weights = normal(seed, 6, 7), expert_weights(seed, gated)
    chosen, kept = np.tile(np.array([[1, 3]]), (6, 1)), np.ones((6, 2), bool)
    kept[:, 1] = False
    gates, g = normal(seed + 1, 6, 2), normal(seed + 2, 6, 7)
    _, by_hand, dweights = mixture_vjp(x, gates, chosen, kept, weights)[1](g)
    with jax.enable_x64(True):
        _, vjp = jax.vjp(lambda gates, w: mixture_jax.mixture(x, gates, chosen, kept, w), gates, weights)
        twins = vjp(g)
    for dgates, gradients in ((by_hand, dweights), twins):
        np.testing.assert_array_equal(dgates[:, 1], 0)
        for leaf in gradients.values():
            np.testing.assert_array_equal(np.asarray(leaf)[[0, 2, 3, 4]], 0)
            assert np.abs(leaf[1]).max() > 1e-6


@each_layer
@pytest.mark.parametrize("choice", ["token", "expert"])
def test_an_empty_batch_is_an_empty_batch(layer, choice):
    factor = 1.0 if choice == "expert" else None
    params, config = layer_params(0), MoEConfig(5, choice=choice, capacity_factor=factor)
    assert layer(np.ones((2, 0, 7)), params, config).shape == (2, 0, 7)
    losses = (auxiliary_loss, moe_jax.auxiliary_loss)
    assert [float(loss(np.ones((0, 7)), params, config)) for loss in losses] == [0, 0]
    _, by_hand = moe_vjp(np.ones((0, 7)), params, config)[1](np.ones((0, 7)))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(by_hand))
    if layer is not moe:
        by_jax = jax.grad(lambda params: layer(jnp.ones((0, 7)), params, config).sum())(params)
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(by_jax))


@each_layer
@pytest.mark.parametrize("factor", [None, 1.0])
def test_a_batch_of_padding_is_zero_and_so_is_its_gradient(layer, factor):
    params, config, mask = layer_params(0), MoEConfig(5, capacity_factor=factor), np.zeros(4, bool)
    x = np.full((4, 7), np.nan)
    np.testing.assert_array_equal(layer(x, params, config, mask), 0)
    assert auxiliary_loss(x, params, config, mask) == moe_jax.auxiliary_loss(x, params, config, mask) == 0
    gradients = moe_vjp(x, params, config, mask)[1](np.ones((4, 7)))

    def total(x, params):
        return layer(x, params, config, mask).sum() + moe_jax.auxiliary_loss(x, params, config, mask)

    if layer is not moe:
        gradients = jax.grad(total, (0, 1))(jnp.asarray(x), params)
    assert all(np.array_equal(leaf, np.zeros_like(leaf)) for leaf in jax.tree.leaves(gradients))


@each_layer
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
        (auxiliary_loss if layer is moe else moe_jax.auxiliary_loss)(x, params, MoEConfig(5))


@pytest.mark.parametrize("layer", [moe_jax.moe, choose.moe], ids=["jax", "fast"])
@pytest.mark.parametrize("factor", [None, 0.7])
@pytest.mark.parametrize("where", ["x", "router"])
def test_inside_jit_a_token_without_logits_is_padding_forward_and_backward(layer, where, factor):
    params, x = {**layer_params(0), "shared": expert_of(layer_params(3)["experts"], 0)}, normal(1, 4, 7)
    config, mask = MoEConfig(5, capacity_factor=factor, balance_weight=1.0), np.ones(4, bool)
    if where == "x":
        x[2, 3], mask[2] = np.nan, False
    else:
        params["router"][3, 2], mask[:] = np.nan, False

    def total(x, params):
        out = layer(x, params, config)
        return jnp.sum(out * normal(2, 4, 7)) + moe_jax.auxiliary_loss(x, params, config), out

    with jax.enable_x64(True):
        gradients, out = jax.jit(jax.grad(total, (0, 1), has_aux=True))(x, params)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, out)))
        np.testing.assert_array_equal(out[~mask], 0)
        np.testing.assert_array_equal(gradients[0][~mask], 0)
        if where == "x":
            np.testing.assert_allclose(out, moe(x, params, config, mask), atol=1e-12)
            _, dparams = moe_vjp(x, params, config, mask)[1](normal(2, 4, 7))
            np.testing.assert_allclose(gradients[1]["experts"]["up"], dparams["experts"]["up"], atol=1e-12)


@both_layers
def test_what_does_not_fit_is_named(layer):
    mixture = numpy_mixture.mixture if layer is moe else mixture_jax.mixture
    chosen, weights, params = np.zeros((4, 1), int), expert_weights(0, True), layer_params(0)
    kept, x = chosen == 0, normal(1, 4, 7)
    for call, message in (
        (lambda: mixture(x, 1.0 * kept, chosen + 5, kept, weights), "chosen from 5 to 5; there are 5, from 0"),
        (
            lambda: mixture(x, 1.0 * kept, chosen, kept, {**weights, "gate": weights["gate"][:4]}),
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


def test_the_module_holds_the_tree_and_nothing_else():
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), layer_params(0))
    params["selection_bias"] = jnp.zeros(5)
    config, x = MoEConfig(5), jnp.asarray(normal(1, 2, 3, 7), jnp.float32)
    module = MoE.from_params(config, params)
    np.testing.assert_array_equal(module(x), choose.moe(x, params, config))
    np.testing.assert_array_equal(module.auxiliary_loss(x), moe_jax.auxiliary_loss(x, params, config))
    gradient = nnx.grad(lambda module: module(x).sum())(module)
    expected = jax.grad(lambda params: choose.moe(x, params, config).sum())(params)
    np.testing.assert_allclose(gradient["params"]["router"][...], expected["router"], atol=1e-6)
    assert set(gradient["params"]) == {"router", "experts"}  # no gradient trains the selection bias
