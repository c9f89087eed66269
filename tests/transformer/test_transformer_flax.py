"""The Flax modules: each beside Flax's own with the same weights, and inside the tools of nnx."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from minillm.adaptation.lora_flax import LoRALinear, LoRATransformer
from minillm.attention.attention_flax import MultiHeadAttention
from minillm.attention.attention_jax import causal_mask
from minillm.attention.rotary_jax import rotary_cos_sin, rotary_embedding
from minillm.config import Config, LoRAConfig, MoEConfig
from minillm.experts.moe_flax import MoE
from minillm.layers.losses_jax import cross_entropy
from minillm.layers.mlp_flax import MLP, SwiGLU
from minillm.layers.norm_flax import LayerNorm, RMSNorm
from minillm.strategies import normal
from minillm.transformer.transformer import init_params
from minillm.transformer.transformer_flax import Transformer
from minillm.transformer.transformer_jax import transformer

D, N, H, F = 6, 4, 2, 10
CONFIG = Config(13, 2, D, N, N, H, F)  # as many key/value heads as query heads: Flax's own rotate alike
TOKENS = np.random.default_rng(0).integers(0, 13, (2, 5), np.int32)
LORA = LoRAConfig(rank=2, alpha=6.0)


def rngs():
    return nnx.Rngs(0)


def vectors(seed=0):
    return jnp.asarray(normal(seed, 2, 5, D), jnp.float32)


def close(got, expected):
    """To float32 rounding: ten times what was measured, at most 6e-7 of the largest number."""
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(got, expected, atol=6e-6 * np.abs(expected).max())


def linear(weight, bias=None):
    layer = nnx.Linear(*weight.shape, use_bias=bias is not None, rngs=rngs())
    layer.kernel[...] = weight[...]
    if bias is not None:
        layer.bias[...] = bias[...]
    return layer


def shaken(module):
    """The same module, its vectors (scales, biases) no longer 1 or 0, its matrices larger."""
    for index, leaf in enumerate(jax.tree.leaves(nnx.state(module), is_leaf=lambda x: isinstance(x, nnx.Variable))):
        leaf[...] = leaf[...] + jnp.asarray(0.5 * normal(index, *leaf.shape), leaf.dtype)
    return module


# Beside Flax's own


def test_norms():
    for ours, theirs in (
        (RMSNorm(D, rngs=rngs()), nnx.RMSNorm(D, epsilon=1e-5, rngs=rngs())),
        (LayerNorm(D, rngs=rngs()), nnx.LayerNorm(D, epsilon=1e-5, use_fast_variance=False, rngs=rngs())),
    ):
        shaken(ours)
        theirs.scale[...] = ours.scale[...]
        if isinstance(ours, LayerNorm):
            theirs.bias[...] = ours.bias[...]
        close(ours(vectors()), theirs(vectors()))


def flax_attention(ours, num_kv_heads, **settings):
    theirs = nnx.MultiHeadAttention(
        N, D, N * H, num_kv_heads=num_kv_heads, use_bias=False, decode=False, rngs=rngs(), **settings
    )
    for name, part in (("query", theirs.query), ("key", theirs.key), ("value", theirs.value), ("output", theirs.out)):
        part.kernel[...] = getattr(ours, name)[...].reshape(part.kernel.shape)
    return theirs


@pytest.mark.parametrize("num_kv_heads", [N, 2])
def test_attention(num_kv_heads):
    ours = shaken(MultiHeadAttention(D, N, H, num_kv_heads, rngs=rngs()))
    theirs, mask = flax_attention(ours, num_kv_heads), causal_mask(5, 5)
    close(ours(vectors()), theirs(vectors()))
    close(ours(vectors(), mask), theirs(vectors(), mask=mask[None, None]))


def test_feed_forward():
    plain, gated = shaken(MLP(D, F, rngs=rngs())), shaken(SwiGLU(D, F, rngs=rngs()))
    up, down = linear(plain.up, plain.up_bias), linear(plain.down, plain.down_bias)
    close(plain(vectors()), down(nnx.gelu(up(vectors()), approximate=False)))
    gate, up, down = map(linear, (gated.gate, gated.up, gated.down))
    close(gated(vectors()), down(nnx.silu(gate(vectors())) * up(vectors())))


def test_mixture_of_experts():
    ours = shaken(MoE(MoEConfig(3, k=2), D, F, rngs=rngs()))
    router, experts = linear(ours.params["router"]), ours.params["experts"]
    x = vectors().reshape(-1, D)
    probabilities = nnx.softmax(router(x))
    outputs = []
    for index in range(3):
        gate, up, down = (linear(experts[name][index]) for name in ("gate", "up", "down"))
        outputs.append(down(nnx.silu(gate(x)) * up(x)))
    largest, chosen = jax.lax.top_k(probabilities, 2)
    weights = largest / largest.sum(-1, keepdims=True)
    expected = jnp.einsum("tk,tkd->td", weights, jnp.stack(outputs, 1)[jnp.arange(len(x))[:, None], chosen])
    close(ours(vectors()).reshape(-1, D), expected)


def test_lora():
    ours = shaken(LoRALinear(D, F, LoRAConfig(rank=2, alpha=2.0), rngs=rngs()))  # scale 1: Flax's has none
    theirs = nnx.LoRALinear(D, F, lora_rank=2, use_bias=False, rngs=rngs())
    theirs.kernel[...] = ours.weight[...]
    theirs.lora.lora_a[...], theirs.lora.lora_b[...] = ours.lora_a[...], ours.lora_b[...]
    close(ours(vectors()), theirs(vectors()))
    change = nnx.LoRA(D, 2, F, base_module=linear(ours.weight), rngs=rngs())
    change.lora_a[...], change.lora_b[...] = ours.lora_a[...], ours.lora_b[...]
    close(ours(vectors()), change(vectors()))
    other = LoRALinear.from_weight(ours.weight[...], LORA, rngs=rngs())  # scale 3, and at first no change
    np.testing.assert_array_equal(other(vectors()), linear(ours.weight)(vectors()))
    other.lora_a[...], other.lora_b[...] = ours.lora_a[...], ours.lora_b[...]
    close(other(vectors()) - linear(ours.weight)(vectors()), 3 * (ours(vectors()) - linear(ours.weight)(vectors())))


def test_transformer():
    """Embed, RMSNorm, MultiHeadAttention and Linear of Flax, with our rotation between projection and attention."""
    ours = shaken(Transformer(CONFIG, rngs=rngs()))
    rotation = rotary_cos_sin(jnp.arange(5), H, CONFIG.rope_theta)

    def rotated(query, key, value, **settings):
        query, key = (rotary_embedding(x, *rotation) for x in (query, key))
        return nnx.dot_product_attention(query, key, value, mask=settings["mask"])

    def norm(scale):
        theirs = nnx.RMSNorm(D, epsilon=1e-5, rngs=rngs())
        theirs.scale[...] = scale[...]
        return theirs

    embed = nnx.Embed(13, D, rngs=rngs())
    embed.embedding[...] = ours.params["embedding"][...]
    x, mask = embed(jnp.asarray(TOKENS)), causal_mask(5, 5)[None, None]
    for layer in ours.params["layers"]:
        holder = MultiHeadAttention(D, N, H, rngs=rngs())
        for name, matrix in layer["attention"].items():
            getattr(holder, name)[...] = matrix[...]
        x = x + flax_attention(holder, N, attention_fn=rotated)(norm(layer["attention_norm"])(x), mask=mask)
        normed = norm(layer["mlp_norm"])(x)
        gate, up, down = (linear(layer["mlp"][name]) for name in ("gate", "up", "down"))
        x = x + down(nnx.silu(gate(normed)) * up(normed))
    close(ours(TOKENS), embed.attend(norm(ours.params["final_norm"])(x)))


# Inside the tools of nnx

MODULES = {
    "RMSNorm": (lambda: RMSNorm(D, rngs=rngs()), vectors),
    "SwiGLU": (lambda: SwiGLU(D, F, rngs=rngs()), vectors),
    "MultiHeadAttention": (lambda: MultiHeadAttention(D, N, H, 2, rngs=rngs()), vectors),
    "MoE": (lambda: MoE(MoEConfig(3, k=2, bias_rate=0.1), D, F, rngs=rngs()), vectors),
    "Transformer": (lambda: Transformer(CONFIG, rngs=rngs()), lambda: TOKENS),
    "LoRALinear": (lambda: LoRALinear(D, F, LORA, rngs=rngs()), vectors),
    "LoRATransformer": (
        lambda: LoRATransformer(CONFIG, init_params(CONFIG, np.random.default_rng(0)), LORA, rngs=rngs()),
        lambda: TOKENS,
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_it_splits_merges_jits_and_trains(name):
    """Parameters are `nnx.Param`, of the LoRA modules `nnx.LoRAParam`; what is frozen stays as it was."""
    make, given = MODULES[name]
    module, x = make(), given()
    expected = module(x)
    wrt = nnx.LoRAParam if "LoRA" in name else nnx.Param
    definition, state = nnx.split(module)
    np.testing.assert_array_equal(nnx.merge(definition, state)(x), expected)
    for one, other in zip(jax.tree.leaves(nnx.state(nnx.jit(make)())), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)  # drawn inside a program: the same numbers
    np.testing.assert_allclose(nnx.jit(lambda module, x: module(x))(module, x), expected, atol=1e-5)

    optimizer = nnx.Optimizer(module, optax.sgd(0.1), wrt=wrt)
    goal = jnp.asarray(normal(9, *expected.shape), expected.dtype)

    @nnx.jit
    def step(module, optimizer):
        def loss(module):
            return jnp.mean((module(x) - goal) ** 2)

        value, gradients = nnx.value_and_grad(loss, argnums=nnx.DiffState(0, wrt))(module)
        optimizer.update(module, gradients)
        return value

    _, frozen = nnx.split_state(nnx.state(module), wrt, ...)
    before = jax.tree.map(np.array, nnx.to_pure_dict(frozen))
    values = [step(module, optimizer) for _ in range(4)]
    assert all(np.diff(values) < 0)
    _, after = nnx.split_state(nnx.state(module), wrt, ...)
    after = nnx.to_pure_dict(after)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_composes_with_a_module_of_someone_else():
    class Block(nnx.Module):
        def __init__(self, rngs):
            self.norm, self.attention = RMSNorm(D, rngs=rngs), MultiHeadAttention(D, N, H, 2, rngs=rngs)
            self.read = nnx.Linear(D, 3, rngs=rngs)

        def __call__(self, x):
            return self.read(x + self.attention(self.norm(x)))

    block = Block(rngs())
    assert set(nnx.to_pure_dict(nnx.state(block, nnx.Param))["attention"]) == {"query", "key", "value", "output"}
    gradients = nnx.grad(lambda block: (block(vectors()) ** 2).sum())(block)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


def test_a_tree_that_exists_is_taken_over():
    params = init_params(CONFIG, np.random.default_rng(3))
    model = Transformer.from_params(CONFIG, params)
    np.testing.assert_array_equal(model(TOKENS), transformer(params, TOKENS, CONFIG))
    held = nnx.to_pure_dict(nnx.state(model))["params"]
    drawn = nnx.to_pure_dict(nnx.state(Transformer(CONFIG, rngs=rngs())))["params"]
    assert jax.tree.structure(held) == jax.tree.structure(drawn)
    optimizer = nnx.Optimizer(model, optax.sgd(0.5), wrt=nnx.Param)
    labels = jnp.asarray(np.roll(TOKENS, -1, axis=-1))
    value, gradients = nnx.value_and_grad(lambda model: cross_entropy(model(TOKENS), labels))(model)
    optimizer.update(model, gradients)
    assert cross_entropy(model(TOKENS), labels) < value
