"""Laws of LoRA: nothing changes at first, merged is applied, the base stays, only the adapter learns."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given

from minillm.adaptation import lora as reference
from minillm.adaptation import lora_jax as in_jax
from minillm.adaptation import lora_vjp
from minillm.adaptation.fast import weights
from minillm.adaptation.lora_flax import LoRATransformer
from minillm.config import Config, LoRAConfig
from minillm.errors import InputError
from minillm.forms import plain_forms
from minillm.layers.fast.transposed import transpose_weights
from minillm.layers.losses_jax import cross_entropy
from minillm.learning import optimizer_jax as optimizer
from minillm.learning.optimizer import adamw_init, adamw_update
from minillm.parameters import leaf_at, linear_paths, target_paths
from minillm.strategies import normal, seeds
from minillm.transformer import transformer as reference_transformer
from minillm.transformer import transformer_jax as jax_transformer
from minillm.transformer.loss_vjp import language_model_loss_vjp

CONFIG = Config(13, 2, 12, 3, 1, 4, 5, context_length=16, tied_embeddings=False)
LORA = LoRAConfig(rank=2, alpha=6.0)
TOKENS = np.random.default_rng(7).integers(0, 13, (3, 8))
each_side = pytest.mark.parametrize("side", [reference, in_jax], ids=["numpy", "jax"])


def base(seed=0, config=CONFIG, dtype=np.float64):
    """Of ordinary size, so that a change of any matrix changes the logits."""
    rng = np.random.default_rng(seed)
    params = reference_transformer.init_params(config, rng, np.float64)
    return jax.tree.map(
        lambda w: (w if w.ndim == 1 else rng.standard_normal(w.shape) / np.sqrt(w.shape[-2])).astype(dtype), params
    )


def jax_loss(params, adapter, tokens, labels, config=CONFIG):
    applied = weights.with_lora(params, adapter, LORA.scale)
    return cross_entropy(jax_transformer.transformer(applied, tokens, config), labels)


def trained(params, config=LORA, seed=1, dtype=np.float64):
    """An adapter whose B is no longer zero."""
    adapter = reference.init_lora(params, config, np.random.default_rng(seed), dtype)
    rng = np.random.default_rng(seed + 1)
    return {
        path: {"lora_a": pair["lora_a"], "lora_b": rng.standard_normal(pair["lora_b"].shape).astype(dtype)}
        for path, pair in adapter.items()
    }


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


# One layer


def test_by_hand():
    # x A = 1*1 + 2*3 = 7; times scale 0.5 and B = (1, -1): (3.5, -3.5), beside x W = (1, 2).
    x, a, b = np.array([1.0, 2.0]), np.array([[1.0], [3.0]]), np.array([[1.0, -1.0]])
    np.testing.assert_allclose(reference.lora_linear(x, np.eye(2), a, b, 0.5), [4.5, -1.5])
    # One adapter at rank 2 and alpha 6: scale 3; rank-stabilised 6 / sqrt(2).
    assert (LORA.scale, replace(LORA, rank_stabilised=True).scale) == (3.0, 6 / 2**0.5)


@each_side
@given(seed=seeds)
def test_the_layer_is_the_merged_one(side, seed):
    x, weight, a, b = normal(seed, 4, 7), normal(seed + 1, 7, 5), normal(seed + 2, 7, 3), normal(seed + 3, 3, 5)
    with jax.enable_x64(True):
        merged = weight + np.asarray(side.lora_delta(a, b, 0.7))
        assert np.linalg.matrix_rank(merged - weight) == 3
        np.testing.assert_allclose(side.lora_linear(x, weight, a, b, 0.7), x @ merged, atol=1e-12)
        np.testing.assert_allclose(side.lora_linear(x, weight, a, 0 * b, 0.7), x @ weight, atol=1e-14)


def test_the_form_that_runs_is_the_plain_one():
    """In values and in the gradients of x, A and B; neither gives W one."""
    x, weight, a, b = normal(0, 2, 3, 7), normal(1, 7, 5), normal(2, 7, 3), normal(3, 3, 5)
    upstream = normal(4, 2, 3, 5)

    def value_and_gradients():
        out, vjp = jax.vjp(partial(in_jax.lora_linear, scale=0.7), x, weight, a, b)
        return out, *vjp(upstream)

    with jax.enable_x64(True):
        fast = value_and_gradients()
        with plain_forms():
            plain = value_and_gradients()
        kept = [len(jax.tree.leaves(jax.vjp(partial(in_jax.lora_linear, scale=0.7), x, weight, a, b)[1]))]
        with plain_forms():
            kept.append(len(jax.tree.leaves(jax.vjp(partial(in_jax.lora_linear, scale=0.7), x, weight, a, b)[1])))
    for one, other in zip(plain, fast, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-13)
    assert not plain[2].any()
    assert min(np.abs(plain[index]).max() for index in (0, 1, 3, 4)) > 0.1
    assert kept[0] != kept[1]  # two forms indeed


@each_side
def test_dropout_is_on_the_change_alone_and_right_on_average(side):
    x, weight, a, b = normal(0, 7), normal(1, 7, 5), normal(2, 7, 3), normal(3, 3, 5)
    with jax.enable_x64(True):
        nothing = side.lora_linear(x, weight, a, b, 1.0, np.zeros(7, bool), 0.5)
        np.testing.assert_array_equal(nothing, x @ weight)
        every = (
            np.array(np.meshgrid(*[[False, True]] * 7)).reshape(7, -1).T
        )  # each choice once: at 0.5 the mean is exact
        found = [side.lora_linear(x, weight, a, b, 1.0, keep, 0.5) for keep in every]
        np.testing.assert_allclose(np.mean(found, axis=0), side.lora_linear(x, weight, a, b), atol=1e-12)


@each_side
@given(seed=seeds)
def test_a_row_has_its_own_adapter(side, seed):
    x, weight, scale = normal(seed, 4, 3, 7), normal(seed + 1, 7, 5), np.array([0.5, 2.0])
    a, b, chosen = normal(seed + 2, 2, 7, 3), normal(seed + 3, 2, 3, 5), np.array([1, -1, 0, 1], np.int32)
    with jax.enable_x64(True):
        found = side.lora_linear_by_row(x, weight, a, b, scale, chosen)
        for row, one in enumerate(chosen):
            alone = x[row] @ weight if one < 0 else side.lora_linear(x[row], weight, a[one], b[one], float(scale[one]))
            np.testing.assert_allclose(found[row], alone, atol=1e-12)


# A model


def test_targets_are_paths():
    params = base()
    assert len(linear_paths(params)) == 2 * 7 + 1
    assert target_paths(params, ("*",)) == linear_paths(params)
    chosen = target_paths(params, ("layers.*.attention.value", "layers.1.mlp.*"))
    assert set(chosen) == {f"layers.{layer}.attention.value" for layer in (0, 1)} | {
        f"layers.1.mlp.{name}" for name in ("gate", "up", "down")
    }


def test_a_new_adapter_changes_nothing_and_its_first_gradient_reaches_b_alone():
    params = base()
    adapter = reference.init_lora(params, LORA, np.random.default_rng(0), np.float64)
    for path, pair in adapter.items():
        bound = leaf_at(params, path).shape[0] ** -0.5
        assert 0.5 * bound < np.abs(pair["lora_a"]).max() <= bound
    with jax.enable_x64(True):
        config, labels = CONFIG, np.roll(TOKENS, -1, axis=-1)
        expected = jax_transformer.transformer(params, TOKENS, config)
        applied = weights.with_lora(params, adapter, LORA.scale)
        np.testing.assert_array_equal(jax_transformer.transformer(applied, TOKENS, config), expected)
        merged, back = lora_vjp.merge_lora_vjp(params, adapter, LORA.scale)
        assert same(merged, params)
        [by_hand] = back(language_model_loss_vjp(merged, TOKENS, labels, config)[1](1.0)[0])
        by_jax = jax.grad(
            lambda a: cross_entropy(
                jax_transformer.transformer(weights.with_lora(params, a, LORA.scale), TOKENS, config),
                labels,
            )
        )(adapter)
    for found in (by_hand, by_jax):
        for pair in found.values():
            assert not np.any(pair["lora_a"])
            assert np.all(np.any(pair["lora_b"], axis=-1))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_base_in_the_form_of_its_file_learns_the_same(dropout):
    """What fine-tuning does: the base's matrices stay transposed, as they were read, and are never copied."""
    with jax.enable_x64(True):
        params, labels = base(), np.roll(TOKENS, -1, axis=-1)
        adapter, key = trained(params), jax.random.key(0)

        def loss(adapter, params):
            applied = weights.with_lora(params, adapter, LORA.scale, key, dropout)
            return cross_entropy(jax_transformer.transformer(applied, TOKENS, CONFIG), labels)

        plain, turned = (jax.value_and_grad(loss)(adapter, tree) for tree in (params, transpose_weights(params)))
    for one, other in zip(jax.tree.leaves(plain), jax.tree.leaves(turned), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("config", [LORA, replace(LORA, rank_stabilised=True, targets=("layers.1.*", "head"))])
def test_merged_is_applied_on_both_sides(dtype, config):
    """With B not zero; the base is not written to, and taking the changes out gives it back to within rounding."""
    params = base(dtype=dtype)
    adapter, before = trained(params, config, dtype=dtype), jax.tree.map(np.copy, base(dtype=dtype))
    with jax.enable_x64(dtype == np.float64):
        merged = reference.merge_lora(params, adapter, config.scale)
        expected = reference_transformer.transformer(merged, TOKENS, CONFIG)
        assert np.abs(expected - reference_transformer.transformer(params, TOKENS, CONFIG)).max() > 0.1
        by_twin = in_jax.merge_lora(params, adapter, config.scale)
        applied = weights.with_lora(params, adapter, config.scale)
        for tree in (by_twin, applied):
            found = jax_transformer.transformer(tree, TOKENS, CONFIG)
            error = np.abs(found - expected).max() / np.abs(expected).max()
            assert error <= (1e-12 if dtype == np.float64 else 2e-5)
        for side, tree in ((reference, merged), (in_jax, by_twin)):
            back = side.unmerge_lora(tree, adapter, config.scale)
            for path in linear_paths(params):
                np.testing.assert_allclose(
                    leaf_at(back, path), leaf_at(params, path), atol=1e-12 if dtype == np.float64 else 1e-5
                )
    assert same(params, before)


def test_gradients_by_hand_are_those_of_jax():
    """Of the merged weights on one side, of the unmerged layers on the other; and of central differences."""
    params, labels = base(), np.roll(TOKENS, -1, axis=-1)
    adapter = trained(params)

    def loss(adapter):
        return language_model_loss_vjp(reference.merge_lora(params, adapter, LORA.scale), TOKENS, labels, CONFIG)[0]

    merged, back = lora_vjp.merge_lora_vjp(params, adapter, LORA.scale)
    [by_hand] = back(language_model_loss_vjp(merged, TOKENS, labels, CONFIG)[1](1.0)[0])
    with jax.enable_x64(True):
        by_jax = jax.jit(jax.grad(jax_loss, 1))(params, adapter, TOKENS, labels)
    for ours, theirs in zip(jax.tree.leaves(by_hand), jax.tree.leaves(by_jax), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    for path in ("layers.0.attention.query", "layers.1.mlp.down", "head"):
        for name in ("lora_a", "lora_b"):
            direction = normal(3, *adapter[path][name].shape)
            above, below = (
                loss({**adapter, path: {**adapter[path], name: adapter[path][name] + step * direction}})
                for step in (1e-5, -1e-5)
            )
            np.testing.assert_allclose(np.sum(by_hand[path][name] * direction), (above - below) / 2e-5, rtol=1e-5)


def test_training_changes_the_adapter_alone_and_alike_on_both_sides():
    params, labels = base(), np.roll(TOKENS, -1, axis=-1)
    before = jax.tree.map(np.copy, params)
    mine = theirs = reference.init_lora(params, LORA, np.random.default_rng(0), np.float64)
    with jax.enable_x64(True):
        placed = jax.device_put(params)
        first_state, second_state = adamw_init(mine), optimizer.adamw_init(theirs)
        assert len(jax.tree.leaves(second_state)) == 1 + 2 * len(jax.tree.leaves(theirs))

        @jax.jit
        def step(adapter, state, tokens, labels):
            value, gradients = jax.value_and_grad(jax_loss, 1)(placed, adapter, tokens, labels)
            return *optimizer.adamw_update(gradients, state, adapter, 0.02), value

        losses = []
        for _ in range(20):
            merged, back = lora_vjp.merge_lora_vjp(params, mine, LORA.scale)
            value, vjp = language_model_loss_vjp(merged, TOKENS, labels, CONFIG)
            mine, first_state = adamw_update(back(vjp(1.0)[0])[0], first_state, mine, 0.02)
            theirs, second_state, other = step(theirs, second_state, TOKENS, labels)
            losses.append((float(value), float(other)))
        np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-10)
        assert losses[-1][0] < 0.7 * losses[0][0]
        for ours, other in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(ours, other, atol=1e-8)
        assert same(placed, before)
    assert same(params, before)


def test_a_mixed_batch_is_its_rows_alone():
    """Adapters of other matrices and another rank in one batch, and a row without."""
    params = base(dtype=np.float32)
    small = replace(LORA, rank=1, targets=("layers.*.attention.query", "head"))
    adapters = [trained(params, LORA, 1, np.float32), trained(params, small, 5, np.float32)]
    scales, chosen = [LORA.scale, small.scale], np.array([1, -1, 0], np.int32)
    mixed = jax_transformer.transformer(weights.with_adapters(params, adapters, scales, chosen), TOKENS, CONFIG)
    for row, one in enumerate(chosen):
        alone = params if one < 0 else weights.with_lora(params, adapters[one], scales[one])
        expected = jax_transformer.transformer(alone, TOKENS[row : row + 1], CONFIG)[0]
        np.testing.assert_allclose(mixed[row], expected, atol=1e-5 * np.abs(expected).max())


def test_the_module_is_off_on_merged_and_swapped():
    params = base(dtype=np.float32)
    adapter, other = trained(params, dtype=np.float32), trained(params, seed=9, dtype=np.float32)
    model = LoRATransformer.from_params(CONFIG, params, adapter, LORA)
    plain = jax_transformer.transformer(params, TOKENS, CONFIG)
    on = model(TOKENS)
    model.on = False
    np.testing.assert_array_equal(model(TOKENS), plain)
    model.on = True
    model.merge()
    within = 2e-5  # through a whole model; its rounding came to 1.03e-5 on an H200, 1.45e-5 with JAX 0.12 on a CPU
    np.testing.assert_allclose(model(TOKENS), on, atol=within * np.abs(on).max())
    with pytest.raises(InputError, match="the adapter is merged already; unmerge it first"):
        model.merge()
    with pytest.raises(InputError, match="the adapter is merged; unmerge it before another takes its place"):
        model.swap(other)
    model.unmerge()
    np.testing.assert_array_equal(model(TOKENS), on)
    with pytest.raises(InputError, match="the adapter is not merged"):
        model.unmerge()
    model.swap(other)
    swapped = model(TOKENS)
    assert np.abs(swapped - on).max() > 0.1
    expected = jax_transformer.transformer(weights.with_lora(params, other, LORA.scale), TOKENS, CONFIG)
    np.testing.assert_array_equal(swapped, expected)


def test_flax_trains_the_adapter_of_the_module_alone():
    params = base(dtype=np.float32)
    adapter = reference.init_lora(params, LORA, np.random.default_rng(0))
    model = LoRATransformer.from_params(CONFIG, params, adapter, replace(LORA, dropout=0.1))
    train = nnx.Optimizer(model, optax.sgd(0.1, momentum=0.9), wrt=nnx.LoRAParam)
    labels = jnp.asarray(np.roll(TOKENS, -1, axis=-1))
    assert len(jax.tree.leaves(nnx.state(train, nnx.OptState))) == 1 + len(jax.tree.leaves(adapter))  # one counts steps

    def loss(model, key):
        return cross_entropy(model(jnp.asarray(TOKENS), key), labels)

    values = []
    for number in range(8):
        follow = nnx.value_and_grad(loss, argnums=nnx.DiffState(0, nnx.LoRAParam))
        value, gradients = follow(model, jax.random.key(number))
        train.update(model, gradients)
        values.append(float(value))
    assert values[-1] < 0.9 * values[0]
    assert same(jax.tree.map(lambda leaf: leaf[...], nnx.to_pure_dict(nnx.state(model))["params"]), params)


# Bad input


@each_side
def test_an_adapter_of_another_model_is_refused(side):
    params = base()
    adapter = trained(params)
    other = base(config=replace(CONFIG, ffn_dim=7))
    with pytest.raises(
        InputError, match=r"of another model: it changes layers\.0\.mlp\.down from 5 to 12, here a matrix \(7, 12\)"
    ):
        side.merge_lora(other, adapter, 1.0)
    shallow = base(config=replace(CONFIG, num_layers=1))
    with pytest.raises(InputError, match=r"of another model: it changes layers\.1\.attention\.\w+, and here"):
        side.merge_lora(shallow, adapter, 1.0)
    broken = {**adapter, "head": {**adapter["head"], "lora_b": np.ones((3, 13))}}
    with pytest.raises(InputError, match="the adapter's head has lora_a of rank 2, lora_b of 3; it is damaged"):
        side.merge_lora(params, broken, 1.0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rank": 0}, "rank is 0; it must be at least 1"),
        ({"rank": 6}, r"rank is 6, but layers.0.attention.key is a matrix \(12, 4\); it must be at most 4"),
        (
            {"targets": ("layers.*.attention.querry",)},
            "querry' matches no matrix; there are",
        ),
        ({"targets": ()}, "targets must be path patterns"),
        ({"targets": "*"}, "targets must be path patterns"),
        ({"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and below 1"),
        ({"alpha": 0.0}, "alpha is 0.0; it must be positive and finite"),
    ],
)
def test_what_cannot_be_is_refused(config, message):
    with pytest.raises(InputError, match=message):
        reference.init_lora(base(), LoRAConfig(**config), np.random.default_rng(0))


@each_side
def test_a_row_cannot_choose_what_is_not_there(side):
    x, weight, a, b = np.ones((2, 1, 1)), np.ones((1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1))
    with pytest.raises(InputError, match="row 1 chooses adapter 1; there are 1, from 0, and -1 for none"):
        side.lora_linear_by_row(x, weight, a, b, np.ones(1), np.array([0, 1]))


def test_no_adapters_and_no_scales_are_refused():
    with pytest.raises(InputError, match="there are 1 adapters and 2 scales"):
        weights.with_adapters(base(), [trained(base())], [1.0, 2.0], np.zeros(3, np.int32))
