"""Laws of the transformer, of both sides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from minillm.config import TINY, Config
from minillm.errors import InputError
from minillm.layers.fast.transposed import transpose_weights
from minillm.layers.norm import rms_norm
from minillm.strategies import normal, seeds
from minillm.transformer import transformer as reference
from minillm.transformer import transformer_jax as in_jax
from minillm.transformer.transformer_flax import Transformer
from minillm.transformer.transformer_laws import models

each_side = pytest.mark.parametrize("side", [reference, in_jax], ids=["numpy", "jax"])


def test_by_hand():
    # With zero matrices every sub-layer adds nothing, so the stream is the embedding. Token 1 is (3, 4): its root
    # mean square is sqrt(12.5), so it becomes (0.848528, 1.131371); against the rows (1, 0), (3, 4), (0, 1):
    # logits 0.848528, 3 x 0.848528 + 4 x 1.131371 = 7.071068, 1.131371
    config = Config(vocab_size=3, num_layers=1, model_dim=2, num_heads=1, num_kv_heads=1, head_dim=2, ffn_dim=2)
    params = jax.tree.map(np.zeros_like, reference.init_params(config, np.random.default_rng(0), np.float64))
    params |= {"embedding": np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 1.0]]), "final_norm": np.ones(2)}
    logits = reference.transformer(params, np.array([1]), config)
    np.testing.assert_allclose(logits, [[0.848528, 7.071068, 1.131371]], atol=1e-5)


@given(models())
@settings(max_examples=5)
def test_gradients_say_the_same_of_the_twin(model):
    config, params = model
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
    tokens = jnp.arange(7)[None]  # seven different tokens, so each embedding row belongs to one position

    def logit(embedding, t):
        fixed_head = {**params, "embedding": embedding, "head": params.get("head", params["embedding"].T)}
        return in_jax.transformer(fixed_head, tokens, config)[0, t].sum()

    for t in (0, 3, 6):
        rows = np.abs(jax.grad(logit)(params["embedding"], t)).sum(-1)[:7] > 0
        window = config.sliding_window or 7
        reach = 1 + config.num_layers * (window - 1)  # each layer looks back window - 1 positions
        np.testing.assert_array_equal(rows, (np.arange(7) <= t) & (np.arange(7) > t - reach))


@each_side
def test_a_fresh_model_knows_nothing(side):
    """Its loss is ln V, within five hundredths of it."""
    config = Config(vocab_size=257, num_layers=3, model_dim=48, num_heads=4, num_kv_heads=2, head_dim=12, ffn_dim=96)
    params = reference.init_params(config, np.random.default_rng(0))
    tokens = np.random.default_rng(1).integers(0, 257, (4, 33))
    logits = np.asarray(side.transformer(params, tokens, config), np.float64)[:, :-1]
    picked = np.take_along_axis(logits, tokens[:, 1:, None], -1)[..., 0]
    loss = np.mean(np.log(np.exp(logits).sum(-1)) - picked)
    assert loss == pytest.approx(np.log(257), rel=0.05)


@given(models(), seeds)
def test_renaming_the_tokens_renames_the_logits(model, seed):
    config, params = model
    order = np.random.default_rng(seed).permutation(config.vocab_size)
    renamed = {**params, "embedding": params["embedding"][order]}
    if "head" in params:
        renamed["head"] = params["head"][:, order]
    tokens = np.arange(6)[None]
    np.testing.assert_allclose(
        reference.transformer(renamed, tokens, config),
        reference.transformer(params, order[tokens], config)[..., order],
        atol=1e-10,
    )


@given(models())
def test_sequences_of_a_batch_do_not_see_each_other(model):
    config, params = model
    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (3, 6))
    together = reference.transformer(params, tokens, config)
    alone = [reference.transformer(params, row, config) for row in tokens]
    np.testing.assert_allclose(together, alone, atol=1e-10)


@given(models())
def test_a_tied_head_is_the_embedding(model):
    config, params = model
    untied = {**params, "head": params["embedding"].T}
    tied = {key: value for key, value in params.items() if key != "head"}
    tokens = np.arange(6)[None]
    np.testing.assert_array_equal(
        reference.transformer(tied, tokens, config), reference.transformer(untied, tokens, config)
    )


def test_the_count_of_parameters():
    """SmolLM2-135M's file holds 134,515,008 weights; and any tree has as many as its configuration says."""
    assert Config(49152, 30, 576, 9, 3, 64, 1536).num_parameters == 134_515_008
    for config in (TINY, Config(31, 2, 12, 3, 1, 6, 11, tied_embeddings=False)):
        params = reference.init_params(config, np.random.default_rng(0))
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == config.num_parameters


def test_a_first_token_attends_to_itself_alone():
    """So its attention is its own value, whatever its query: rebuilt here from the matrices."""
    config = Config(vocab_size=5, num_layers=1, model_dim=6, num_heads=2, num_kv_heads=2, head_dim=4, ffn_dim=3)
    params = reference.init_params(config, np.random.default_rng(0), np.float64)
    params["embedding"] = normal(0, 5, 6)
    layer = params["layers"][0]
    layer["mlp"] = jax.tree.map(np.zeros_like, layer["mlp"])
    x = params["embedding"][3]
    stream = x + rms_norm(x, np.ones(6)) @ layer["attention"]["value"] @ layer["attention"]["output"]
    expected = rms_norm(stream, np.ones(6)) @ params["embedding"].T
    np.testing.assert_allclose(reference.transformer(params, np.array([3]), config)[0], expected, atol=1e-12)


@given(models())
@settings(max_examples=5)
def test_nnx_module_and_transposed_weights_change_nothing(model):
    config, params = model
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
    tokens = jnp.arange(6)[None]
    expected = np.asarray(in_jax.transformer(params, tokens, config))
    np.testing.assert_array_equal(Transformer.from_params(config, params)(tokens), expected)
    transposed = in_jax.transformer(transpose_weights(params), tokens, config)
    np.testing.assert_allclose(transposed, expected, atol=1e-5 * np.abs(expected).max())


@each_side
@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.array([[1, 7]]), "token id 7 is outside the vocabulary of 7"),
        (np.array([[-1, 2]]), "token id -1 is outside the vocabulary of 7"),
        (np.zeros((1, 0), int), "there are no tokens"),
        (np.array([[1.0]]), "tokens has dtype float64; it must be integer"),
    ],
)
def test_bad_tokens_are_refused(side, tokens, message):
    params = reference.init_params(TINY, np.random.default_rng(0))
    with pytest.raises(InputError, match=message):
        side.transformer(params, tokens, TINY)


def test_inside_jit_an_unknown_token_is_loud():
    params = reference.init_params(TINY, np.random.default_rng(0))
    logits = jax.jit(lambda tokens: in_jax.transformer(params, tokens, TINY))(jnp.array([[1, 9]]))
    assert np.isnan(logits[0, 1]).all()
