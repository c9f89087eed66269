"""Laws of the gradients derived by hand, and of the loss they start from; that they are the gradients of both sides
(JAX's and central differences) is tests/house/test_twins.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.attention.attention import attention_naive, causal_mask
from minillm.attention.attention_laws import attention_problems
from minillm.attention.attention_vjp import scaled_dot_product_attention_vjp
from minillm.attention.rotary import rotary_embedding
from minillm.attention.rotary_laws import batches_to_turn
from minillm.attention.rotary_vjp import rotary_embedding_vjp
from minillm.config import TINY
from minillm.errors import InputError
from minillm.layers import losses as reference_losses
from minillm.layers import losses_jax as jax_losses
from minillm.layers.activations_vjp import gelu_tanh_vjp, gelu_vjp, silu_vjp
from minillm.layers.fast import losses as fast_losses
from minillm.layers.linear import embedding, linear
from minillm.layers.linear_vjp import embedding_vjp, linear_vjp
from minillm.layers.losses import IGNORED, cross_entropy
from minillm.layers.losses_laws import label_arrays
from minillm.layers.losses_vjp import cross_entropy_vjp
from minillm.layers.mlp_vjp import mlp_vjp
from minillm.layers.norm_laws import norm_problems
from minillm.layers.norm_vjp import layer_norm_vjp, rms_norm_vjp
from minillm.layers.softmax import softmax
from minillm.layers.softmax_vjp import log_softmax_vjp, masked_softmax_vjp, softmax_vjp
from minillm.strategies import arrays, normal, seeds, values, vectors
from minillm.transformer.loss import language_model_loss
from minillm.transformer.loss_vjp import language_model_loss_vjp
from minillm.transformer.scoring import token_log_probabilities
from minillm.transformer.transformer import init_params, transformer
from minillm.transformer.transformer_laws import models
from minillm.transformer.transformer_vjp import transformer_vjp
from minillm.twins import twins

both_losses = pytest.mark.parametrize("losses", [reference_losses, jax_losses], ids=["numpy", "jax"])
with_gradient = pytest.mark.parametrize("twin", [twin for twin in twins() if twin.gradient], ids=str)
loss_problems = st.tuples(arrays((2, 5, 7)), label_arrays(7, 2, 5))


def upstream_for(out, seed=0):
    return jax.tree.map(lambda leaf: np.asarray(normal(seed, *np.shape(leaf)), np.asarray(leaf).dtype), out)


# The loss.


def test_cross_entropy_by_hand():
    # Scores (0, ln 3) are shares (1/4, 3/4), of which label 1 costs ln(4/3); (0, 0) are (1/2, 1/2): label 0 costs ln 2.
    # The third place is ignored. Mean of two: (ln(4/3) + ln 2) / 2. Shares minus one-hot: (1/4, -1/4) and (-1/2, 1/2),
    # each divided by the two that count.
    logits, labels = np.array([[0.0, np.log(3.0)], [0.0, 0.0], [5.0, 7.0]]), np.array([1, 0, IGNORED])
    loss, vjp = cross_entropy_vjp(logits, labels)
    np.testing.assert_allclose(loss, (np.log(4 / 3) + np.log(2)) / 2)
    np.testing.assert_allclose(vjp(1.0)[0], [[1 / 8, -1 / 8], [-1 / 4, 1 / 4], [0, 0]], atol=1e-15)


@given(loss_problems)
def test_the_gradient_of_the_loss_sums_to_zero_over_the_vocabulary(problem):
    [dlogits] = cross_entropy_vjp(*problem)[1](1.0)
    np.testing.assert_allclose(dlogits.sum(-1), 0, atol=1e-15)


@given(loss_problems)
def test_what_is_ignored_counts_for_nothing(problem):
    logits, labels = problem
    counted = labels != IGNORED
    for junk in ([np.nan, 1e300, 0, 1, 2, 3, 4], [np.inf, -np.inf, 0, 1, 2, 3, 4]):
        loss, vjp = cross_entropy_vjp(np.where(counted[..., None], logits, np.array(junk)), labels)
        assert loss == cross_entropy(logits, labels)
        [dlogits] = vjp(1.0)
        np.testing.assert_array_equal(dlogits[~counted], 0)
    if counted.any():
        alone, alone_vjp = cross_entropy_vjp(logits[counted], labels[counted])
        np.testing.assert_allclose(loss, alone, rtol=1e-12)
        np.testing.assert_allclose(dlogits[counted], alone_vjp(1.0)[0], atol=1e-15)


@both_losses
def test_where_nothing_counts_the_loss_is_zero(losses):
    logits, labels = np.ones((2, 3), np.float32), np.full(2, IGNORED, np.int32)
    assert losses.cross_entropy(logits, labels) == 0
    np.testing.assert_array_equal(cross_entropy_vjp(logits, labels)[1](1.0)[0], 0)
    np.testing.assert_array_equal(jax.grad(jax_losses.cross_entropy)(jnp.asarray(logits), labels), 0)


def test_the_fast_gradient_needs_no_second_table_of_logits():
    """Beside the logits and their gradient: a few numbers a place."""
    logits, labels = jax.ShapeDtypeStruct((256, 4096), np.float32), jax.ShapeDtypeStruct((256,), np.int32)
    compiled = jax.jit(jax.value_and_grad(fast_losses.cross_entropy)).lower(logits, labels).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.1 * 4 * 256 * 4096


def test_what_is_ignored_counts_for_nothing_in_the_twin_either():
    logits, labels = np.array([[1.0, 2.0], [np.nan, np.inf]], np.float32), np.array([1, IGNORED])
    loss, gradient = jax.value_and_grad(jax_losses.cross_entropy)(jnp.asarray(logits), labels)
    np.testing.assert_allclose(loss, cross_entropy(logits[:1], labels[:1]), rtol=1e-6)
    np.testing.assert_array_equal(gradient[1], 0)


@given(models(), seeds)
@settings(max_examples=10)
def test_the_loss_is_minus_the_mean_log_probability_of_the_text(model, seed):
    config, params = model
    text = np.random.default_rng(seed).integers(0, config.vocab_size, (2, 6))
    expected = -token_log_probabilities(transformer(params, text, config), text).mean()
    np.testing.assert_allclose(language_model_loss(params, text[:, :-1], text[:, 1:], config), expected, rtol=1e-10)


@both_losses
@pytest.mark.parametrize("label", [-1, 7, -101])
def test_labels_outside_the_vocabulary_are_refused(losses, label):
    with pytest.raises(InputError, match=f"label {label} is outside the vocabulary of 7; write -100 where there is"):
        losses.cross_entropy(np.ones((2, 7), np.float32), np.array([0, label]))


def test_inside_jit_a_label_outside_is_loud():
    for label in (-1, 7):
        loss = jax.jit(jax_losses.cross_entropy)(jnp.ones((2, 7)), jnp.array([0, label]))
        assert np.isnan(loss)


@both_losses
def test_unsigned_labels_are_labels(losses):
    logits, labels = normal(0, 3, 200).astype(np.float32), np.array([0, 156, 199])  # 156 is -100 modulo 256
    np.testing.assert_array_equal(
        losses.cross_entropy(logits, labels.astype(np.uint8)), losses.cross_entropy(logits, labels)
    )


def test_both_sides_ignore_the_same_label():
    assert reference_losses.IGNORED == jax_losses.IGNORED


# Every gradient.


@with_gradient
@given(data=st.data(), seed=seeds)
@settings(max_examples=10)
def test_a_gradient_is_linear_in_its_upstream(twin, data, seed):
    """And asking twice changes nothing: the function that gives it keeps no state."""
    out, vjp = twin.reference_vjp(*data.draw(twin.given))
    first, second = upstream_for(out, seed), upstream_for(out, seed + 1)
    both = jax.tree.map(lambda one, other: 3 * one - other, first, second)
    leaves = [jax.tree.leaves(vjp(g)) for g in (first, second, both, first)]
    for one, other, both, again in zip(*leaves, strict=True):
        np.testing.assert_allclose(both, 3 * one - other, rtol=1e-9, atol=1e-11 * max(1, np.abs(both).max()))
        np.testing.assert_array_equal(one, again)


@with_gradient
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@given(data=st.data())
@settings(max_examples=3)
def test_a_gradient_has_the_dtype_of_its_argument(twin, dtype, data):
    args = jax.tree.map(
        lambda leaf: leaf.astype(dtype) if getattr(leaf, "dtype", np.dtype(bool)).kind == "f" else leaf,
        data.draw(twin.given),
    )
    out, vjp = twin.reference_vjp(*args)
    leaves = jax.tree.leaves((out, vjp(upstream_for(out))))
    assert {leaf.dtype for leaf in leaves} == {np.dtype(dtype)}
    assert all(np.isfinite(leaf).all() for leaf in leaves)


# Linear layers: the gradient of a linear map is its transpose, <g, f(x)> = <vjp(g), x>.


@given(arrays((2, 5, 7)), seeds)
def test_the_gradient_of_a_linear_map_is_its_transpose(x, seed):
    g, weight = normal(seed, 2, 5, 3), normal(seed + 1, 7, 3)
    dx, dweight = linear_vjp(x, weight)[1](g)
    expected = np.sum(g * linear(x, weight))
    np.testing.assert_allclose([np.sum(dx * x), np.sum(dweight * weight)], expected, rtol=1e-9, atol=1e-9)


@given(batches_to_turn(), seeds)
def test_turning_back_is_the_transpose_and_the_inverse(problem, seed):
    x, cos, sin = problem
    out, vjp = rotary_embedding_vjp(x, cos, sin)
    g = upstream_for(out, seed)
    np.testing.assert_allclose(np.sum(vjp(g)[0] * x), np.sum(g * rotary_embedding(x, cos, sin)), atol=1e-9)
    np.testing.assert_allclose(vjp(out)[0], x, atol=1e-12)


@given(seeds)
def test_an_embedding_adds_up_repeated_tokens_and_leaves_absent_ones_at_zero(seed):
    random = np.random.default_rng(seed)
    table, tokens, g = normal(seed, 7, 3), random.integers(1, 6, (2, 5)), normal(seed + 1, 2, 5, 3)
    [dtable] = embedding_vjp(table, tokens)[1](g)
    absent = ~np.isin(np.arange(7), tokens)
    np.testing.assert_array_equal(dtable[absent], 0)
    np.testing.assert_allclose(dtable[tokens[0, 0]], g[tokens == tokens[0, 0]].sum(0), atol=1e-12)
    np.testing.assert_allclose(np.sum(dtable * table), np.sum(g * embedding(table, tokens)), atol=1e-9)
    with jax.enable_x64(True):  # the lookup as the twin writes it
        _, vjp = jax.vjp(lambda table: table.at[tokens].get(mode="fill", fill_value=jnp.nan), jnp.asarray(table))
        np.testing.assert_allclose(dtable, vjp(jnp.asarray(g))[0], atol=1e-12)


# Activations, normalisation, softmax.


@pytest.mark.parametrize("activation_vjp", [gelu_vjp, gelu_tanh_vjp, silu_vjp])
@given(x=arrays((11,)))
def test_slopes_of_opposite_numbers_sum_to_one(activation_vjp, x):
    """Since f(x) - f(-x) = x for each of them."""
    ones = np.ones_like(x)
    np.testing.assert_allclose(activation_vjp(x)[1](ones)[0] + activation_vjp(-x)[1](ones)[0], 1, atol=1e-12)


@pytest.mark.parametrize("activation_vjp", [gelu_vjp, gelu_tanh_vjp, silu_vjp])
def test_far_out_a_slope_is_one_or_zero(activation_vjp):
    x = np.array([-1e4, 1e4], np.float32)
    np.testing.assert_array_equal(activation_vjp(x)[1](np.ones_like(x))[0], [0, 1])


@given(norm_problems(1), seeds)
def test_the_gradient_of_rms_norm_is_orthogonal_to_its_input(problem, seed):
    """Since the size of a vector does not matter, nothing is to be gained along it."""
    x, _ = problem
    dx, _ = rms_norm_vjp(x, np.ones(x.shape[-1]), eps=0.0)[1](upstream_for(x, seed))
    np.testing.assert_allclose(np.sum(dx * x, axis=-1), 0, atol=1e-12)


@given(norm_problems(2), seeds)
def test_that_of_layer_norm_is_orthogonal_to_a_shift_too(problem, seed):
    x, scale, bias = problem
    dx, _, dbias = layer_norm_vjp(x, scale, bias, eps=0.0)[1](upstream_for(x, seed))
    size = 1 + np.abs(dx).sum(-1)
    np.testing.assert_allclose(np.sum(dx, axis=-1) / size, 0, atol=1e-12)
    np.testing.assert_allclose(np.sum(dx * (x - x.mean(-1, keepdims=True)), axis=-1) / size, 0, atol=1e-12)
    np.testing.assert_allclose(dbias, upstream_for(x, seed).reshape(-1, x.shape[-1]).sum(0), atol=1e-12)


@given(vectors.flatmap(arrays), seeds)
def test_the_gradient_of_softmax_sums_to_zero_and_that_of_its_logarithm_follows(scores, seed):
    g = upstream_for(scores, seed)
    np.testing.assert_allclose(softmax_vjp(scores)[1](g)[0].sum(-1), 0, atol=1e-14)
    # the chain rule: log p has the upstream p g where p has g
    [expected] = softmax_vjp(scores)[1](g)
    np.testing.assert_allclose(log_softmax_vjp(scores)[1](softmax(scores) * g)[0], expected, atol=1e-14)


def test_masked_places_and_rows_get_no_gradient():
    scores, mask = np.array([[1.0, 2.0, np.nan], [np.inf, 1.0, 2.0]]), np.array([[True, True, False], [False] * 3])
    [dscores] = masked_softmax_vjp(scores, mask)[1](np.array([[1.0, 5.0, 7.0], [1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(dscores[0, :2], softmax_vjp(np.array([1.0, 2.0]))[1](np.array([1.0, 5.0]))[0])
    np.testing.assert_array_equal(dscores[0, 2], 0)
    np.testing.assert_array_equal(dscores[1], 0)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_large_float32_scores_have_finite_gradients(size):
    scores = np.array([[-size, 0.0, size, size]], np.float32)
    for vjp in (softmax_vjp(scores)[1], log_softmax_vjp(scores)[1], masked_softmax_vjp(scores, scores > 0)[1]):
        assert np.isfinite(vjp(np.ones_like(scores) * 3)[0]).all()
    loss, vjp = cross_entropy_vjp(scores, np.array([0]))
    assert np.isfinite(loss)
    # The two largest share all; the label has nothing.
    np.testing.assert_array_equal(vjp(np.float32(1))[0], [[-1, 0, 0.5, 0.5]])


# Layers.


def test_a_bias_that_is_not_there_has_no_gradient():
    x, up, down, zeros = normal(0, 2, 5), normal(1, 5, 3), normal(2, 3, 5), (np.zeros(3), np.zeros(5))
    (out, vjp), (expected, expected_vjp) = mlp_vjp(x, up, down), mlp_vjp(x, up, down, *zeros)
    np.testing.assert_array_equal(out, expected)
    gradients, expected_gradients = vjp(out), expected_vjp(out)
    assert gradients[3:] == (None, None)
    for gradient, expected in zip(gradients[:3], expected_gradients[:3], strict=True):
        np.testing.assert_array_equal(gradient, expected)


def test_mlp_takes_another_activation():
    x, up, down = normal(0, 2, 5), normal(1, 5, 3), normal(2, 3, 5)
    out, vjp = mlp_vjp(x, up, down, activation_vjp=silu_vjp)
    bent, bend_back = silu_vjp(x @ up)
    np.testing.assert_array_equal(out, bent @ down)
    np.testing.assert_allclose(vjp(out)[0], bend_back(out @ down.T)[0] @ up.T, atol=1e-12)


def test_the_gradient_of_attention_by_hand():
    # As in test_attention.py: shares 1/4 and 3/4 of values 4 and 8 make 7. For an upstream of 1: to the values go the
    # shares; to the shares 4 and 8; to the scores 1/4 (4 - 7) and 3/4 (8 - 7), that is -3/4 and 3/4; to the query these
    # times the keys 0 and ln 3; to each key its own times the query, 1.
    query, key = np.ones((1, 1, 1)), np.array([0.0, np.log(3.0)]).reshape(2, 1, 1)
    out, vjp = scaled_dot_product_attention_vjp(query, key, np.array([4.0, 8.0]).reshape(2, 1, 1))
    np.testing.assert_allclose(out, [[[7.0]]])
    dquery, dkey, dvalue = vjp(np.ones((1, 1, 1)))
    np.testing.assert_allclose(dquery.ravel(), [0.75 * np.log(3)])
    np.testing.assert_allclose(dkey.ravel(), [-0.75, 0.75])
    np.testing.assert_allclose(dvalue.ravel(), [0.25, 0.75])


@given(attention_problems(), seeds)
def test_what_attention_does_not_see_gets_no_gradient(problem, seed):
    query, key, _, mask = problem
    (_, T, N, _), (_, S, K, _) = query.shape, key.shape
    seen = np.broadcast_to(True if mask is None else mask, (N, T, S))
    dquery, dkey, dvalue = scaled_dot_product_attention_vjp(*problem)[1](upstream_for(query, seed))
    unseen_keys = ~seen.reshape(K, N // K * T, S).any(1).T  # (S, K): by no query of the heads that share it
    np.testing.assert_array_equal(dkey[:, unseen_keys], 0)
    np.testing.assert_array_equal(dvalue[:, unseen_keys], 0)
    np.testing.assert_array_equal(dquery[:, ~seen.any(-1).T], 0)
    assert (np.abs(dvalue[:, ~unseen_keys]).max(-1) > 0).all()


def test_a_query_gives_no_gradient_to_later_keys():
    query, key, value = (normal(i, 5, 2, 4) for i in range(3))
    for mask, sees in ((causal_mask(5, 5), 5), (causal_mask(5, 5, window=2), 2)):
        vjp = scaled_dot_product_attention_vjp(query, key, value, mask)[1]
        for t in range(5):
            g = np.zeros_like(query)
            g[t] = 1.0
            for gradient in vjp(g)[1:]:
                reached = np.abs(gradient).sum((-1, -2)) > 0
                expected = (np.arange(5) <= t) & (np.arange(5) > t - sees)
                # a lone key has the share 1 whatever its score, so only its value gets a gradient
                np.testing.assert_array_equal(reached[~expected], False)
                assert reached[expected].all() or expected.sum() == 1


def test_shared_key_heads_get_the_sum_of_their_queries():
    query, key, value = normal(0, 5, 6, 4), normal(1, 7, 3, 4), normal(2, 7, 3, 4)
    g = normal(3, 5, 6, 4)
    _, *shared = scaled_dot_product_attention_vjp(query, key, value)[1](g)
    repeated = [np.repeat(x, 2, axis=1) for x in (key, value)]
    _, *apart = scaled_dot_product_attention_vjp(query, *repeated)[1](g)
    for together, alone in zip(shared, apart, strict=True):
        np.testing.assert_allclose(together, alone.reshape(7, 3, 2, 4).sum(2), atol=1e-12)


def test_the_vectorised_gradient_is_that_of_the_naive_form():
    query, key, value, mask = normal(0, 2, 2, 2), normal(1, 3, 1, 2), normal(2, 3, 1, 2), causal_mask(2, 3, 1)
    g, step = normal(3, 2, 2, 2), 1e-6
    dquery, _, _ = scaled_dot_product_attention_vjp(query, key, value, mask)[1](g)
    for place in np.ndindex(query.shape):
        change = np.zeros_like(query)
        change[place] = step
        above, below = (attention_naive(query + sign * change, key, value, mask) for sign in (1, -1))
        np.testing.assert_allclose(dquery[place], np.sum(g * (above - below)) / (2 * step), atol=1e-7)


@given(st.integers(1, 3), values)
@settings(max_examples=10)
def test_attention_of_large_float32_scores_has_finite_gradients(seed, size):
    query, key, value = (1e4 * (1 + abs(size)) * normal(seed + i, 1, 5, 2, 4).astype(np.float32) for i in range(3))
    mask = np.random.default_rng(seed).random((5, 5)) < 0.4  # some rows see nothing
    for gradient in scaled_dot_product_attention_vjp(query, key, value, mask)[1](np.ones_like(query)):
        assert np.isfinite(gradient).all()


# The whole model.


@given(models())
@settings(max_examples=10)
def test_the_loss_at_a_place_gives_no_gradient_to_later_tokens(model):
    config, params = model
    params = {**params, "head": params.get("head", params["embedding"].T)}  # so that the table is only looked up in
    tokens = np.arange(7)[None]  # seven different tokens, so each embedding row belongs to one position
    for t in (0, 3, 6):
        labels = np.where(np.arange(7) == t, 9, IGNORED)[None]
        [dparams] = language_model_loss_vjp(params, tokens, labels, config)[1](1.0)
        reach = 1 + config.num_layers * ((config.sliding_window or 7) - 1)  # each layer looks back window - 1 positions
        expected = (np.arange(config.vocab_size) <= t) & (np.arange(config.vocab_size) > t - reach)
        np.testing.assert_array_equal(np.abs(dparams["embedding"]).sum(-1) > 0, expected)


@given(models(), seeds)
@settings(max_examples=10)
def test_a_tied_embedding_gets_both_contributions(model, seed):
    config, params = model
    tied = {key: value for key, value in params.items() if key != "head"}
    tokens = np.random.default_rng(seed).integers(0, config.vocab_size, (2, 5))
    logits, tied_vjp = transformer_vjp(tied, tokens, config)
    _, untied_vjp = transformer_vjp({**tied, "head": tied["embedding"].T}, tokens, config)
    g = upstream_for(logits, seed)
    [together], [apart] = tied_vjp(g), untied_vjp(g)
    np.testing.assert_allclose(together["embedding"], apart["embedding"] + apart["head"].T, rtol=1e-12)
    assert "head" not in together
    np.testing.assert_array_equal(together["layers"][0]["mlp"]["down"], apart["layers"][0]["mlp"]["down"])


@given(models(), seeds)
@settings(max_examples=10)
def test_the_gradient_of_a_batch_is_the_mean_of_its_sequences(model, seed):
    config, params = model
    text = np.random.default_rng(seed).integers(0, config.vocab_size, (3, 6))

    def gradient(rows):
        return jax.tree.leaves(language_model_loss_vjp(params, rows[..., :-1], rows[..., 1:], config)[1](1.0))

    for together, *apart in zip(gradient(text), *map(gradient, text), strict=True):
        np.testing.assert_allclose(together, np.mean(apart, axis=0), atol=1e-10)


def test_a_step_downhill_lowers_the_loss_by_what_the_gradient_says():
    params, text = init_params(TINY, np.random.default_rng(0), np.float64), np.array([1, 2, 3, 1, 2, 3, 1])
    loss, vjp = language_model_loss_vjp(params, text[:-1], text[1:], TINY)
    [dparams] = vjp(1.0)
    rate = 1e-3
    lower = language_model_loss(jax.tree.map(lambda p, d: p - rate * d, params, dparams), text[:-1], text[1:], TINY)
    squares = sum(np.sum(leaf * leaf) for leaf in jax.tree.leaves(dparams))
    assert squares > 1e-4
    np.testing.assert_allclose(loss - lower, rate * squares, rtol=1e-2)


@given(models())
@settings(max_examples=5)
def test_a_model_of_large_float32_logits_has_finite_gradients(model):
    config, params = model
    params = jax.tree.map(lambda leaf: (1e3 * leaf).astype(np.float32), params)
    text = np.arange(8)[None] % config.vocab_size
    loss, vjp = language_model_loss_vjp(params, text[:, :-1], text[:, 1:], config)
    [dparams] = vjp(np.float32(1))
    assert loss > 100
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(dparams))
