"""The decoder-only transformer in JAX. What differs: a cache has a fixed capacity, of which a mask hides what is empty.

Attention is given its mask by name and the function that picks the fast form for it; experts have such a function too
(`fast/choose.py` of either topic). The cache handed over is used up, so that it is filled in place.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Int

from minillm.attention.attention_jax import multi_head_attention
from minillm.attention.fast.choose import Causal, attend
from minillm.attention.rotary_jax import rotary_cos_sin
from minillm.attention.shared import AttentionWeights, KVCache, LayerCache, check_capacity
from minillm.axes import Hidden, Positions, Rotation, Tokens, checked
from minillm.config import Config
from minillm.experts.fast.choose import moe
from minillm.experts.moe_jax import auxiliary_loss, moe_loads
from minillm.layers.fast.mlp import swiglu
from minillm.layers.fast.transposed import Transposed
from minillm.layers.linear_jax import embedding, linear
from minillm.layers.norm_jax import rms_norm
from minillm.transformer.shared import AllLogits, Loss, NextLogits, Params, check_experts, check_tokens


@checked
def transformer(params: Params, tokens: Tokens, config: Config) -> AllLogits:
    """As the reference."""
    check_tokens(tokens, config)
    x, _ = hidden_states(params, tokens, config)
    return unembed(params, x)


@checked
def transformer_with_routing(
    params: Params, tokens: Tokens, config: Config, mesh: Mesh | None = None
) -> tuple[AllLogits, Loss, Int[Any, "L E"] | None]:
    """As the reference; the axis "expert" of `mesh` spreads the experts over several devices."""
    check_tokens(tokens, config)
    x, _, fed = blocks(params, tokens, config, None, mesh)
    logits, auxiliary = unembed(params, x), jnp.zeros((), x.dtype)
    if config.moe is None:
        return logits, auxiliary, None
    loads = []
    for normed, layer in zip(fed, params["layers"], strict=True):
        auxiliary = auxiliary + auxiliary_loss(normed, layer["moe"], config.moe)
        loads.append(moe_loads(normed, layer["moe"], config.moe))
    return logits, auxiliary.astype(x.dtype), jnp.stack(loads)


def transformer_with_auxiliary_loss(
    params: Params, tokens: Tokens, config: Config, mesh: Mesh | None = None
) -> tuple[AllLogits, Loss]:
    """As the reference."""
    logits, auxiliary, _ = transformer_with_routing(params, tokens, config, mesh)
    return logits, auxiliary


def layer_loads(params: Params, tokens: Tokens, config: Config) -> Int[Any, "L E"]:
    """As the reference."""
    check_experts(config)
    return transformer_with_routing(params, tokens, config)[2]


@checked
def prefill(
    params: Params, tokens: Tokens, cache: KVCache, config: Config, length: Any = None
) -> tuple[NextLogits, KVCache]:
    """As the reference. Pad prompts to a few lengths: each length is compiled once."""
    check_tokens(tokens, config)
    check_capacity(cache, tokens.shape[-1])
    length = tokens.shape[-1] if length is None else length
    start = cache.length
    x, filled = hidden_states(params, tokens, config, cache)
    last = jax.lax.dynamic_index_in_dim(x, length - 1, x.ndim - 2, keepdims=False)
    return unembed(params, last), filled._replace(length=start + length)


@checked
def decode(params: Params, token: Int[Any, "*batch"], cache: KVCache, config: Config) -> tuple[NextLogits, KVCache]:
    """As the reference, but that an id outside the vocabulary gives NaN inside `jax.jit`."""
    return prefill(params, token[..., None], cache, config)


@partial(jax.jit, static_argnames="config", donate_argnames="cache")
def hidden_states(params: Params, tokens: Tokens, config: Config, cache: KVCache | None = None) -> tuple[Hidden, Any]:
    """As the reference."""
    x, filled, _ = blocks(params, tokens, config, cache)
    return x, filled


@partial(jax.jit, static_argnames=("config", "mesh"))
def blocks(
    params: Params, tokens: Tokens, config: Config, cache: KVCache | None = None, mesh: Mesh | None = None
) -> tuple[Hidden, KVCache | None, list[Hidden]]:
    """As the reference; what is not used of it XLA does not compute."""
    T, start = tokens.shape[-1], cache.length if cache else 0
    x = embedding(params["embedding"], tokens)
    rotation = rotation_of(start + jnp.arange(T), config, x.dtype)
    rotation = jax.lax.optimization_barrier(rotation)  # or XLA:CPU computes it anew in every layer
    mask = Causal(start, config.sliding_window)
    layers: list[Any] = []
    fed: list[Hidden] = []
    for index, layer in enumerate(params["layers"]):
        past = cache.layers[index] if cache else None
        x, past, normed = block(x, layer, config, mask, rotation, past, start, mesh)
        layers.append(past)
        fed.append(normed)
    x = rms_norm(x, params["final_norm"], config.norm_eps)
    return x, KVCache(layers, start + T) if cache else None, fed


def block(
    x: Hidden,
    layer: Params,
    config: Config,
    mask: Causal,
    rotation: tuple[Rotation, Rotation],
    past: LayerCache | None = None,
    start: Any = 0,
    mesh: Mesh | None = None,
) -> tuple[Hidden, LayerCache | None, Hidden]:
    """As the reference."""
    normed, weights = rms_norm(x, layer["attention_norm"], config.norm_eps), AttentionWeights(**layer["attention"])
    attended, past = multi_head_attention(normed, weights, config.head_dim, mask, rotation, past, start, attend)
    x = x + attended
    normed = rms_norm(x, layer["mlp_norm"], config.norm_eps)
    return x + feed_forward(normed, layer, config, past is not None, mesh), past, normed


def feed_forward(x: Hidden, layer: Params, config: Config, in_pieces: bool = False, mesh: Mesh | None = None) -> Hidden:
    """As the reference."""
    if config.moe is None:
        return swiglu(x, **layer["mlp"])
    routing = replace(config.moe, capacity_factor=None) if in_pieces else config.moe
    return moe(x, layer["moe"], routing, mesh=mesh)


def rotation_of(positions: Positions, config: Config, dtype: Any) -> tuple[Rotation, Rotation]:
    """As the reference."""
    theta, factors, attention_factor = config.rope_theta, config.rope_factors, config.rope_attention_factor
    return rotary_cos_sin(positions, config.head_dim, theta, factors, dtype, attention_factor)


@jax.jit
def unembed(params: Params, x: Any) -> Any:
    """As the reference."""
    return linear(x, params["head"] if "head" in params else Transposed(params["embedding"]))
