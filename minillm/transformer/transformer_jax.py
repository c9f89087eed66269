"""The decoder-only transformer, jitted: `minillm.transformer.transformer` for CPU, GPU and TPU."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from minillm.attention.attention_jax import AttentionWeights, Causal, causal_mask, multi_head_attention
from minillm.attention.cache_jax import KVCache, check_capacity
from minillm.attention.rotary_jax import rotary_cos_sin
from minillm.axes import Hidden, Positions, Rotation, Tokens, checked
from minillm.config import Config
from minillm.errors import InputError
from minillm.experts.fast.choose import moe
from minillm.experts.moe_jax import auxiliary_loss, moe_loads
from minillm.layers.linear_jax import Transposed, linear
from minillm.layers.mlp_jax import swiglu
from minillm.layers.norm_jax import rms_norm

Params = dict[str, Any]


@checked
def transformer(params: Params, tokens: Tokens, config: Config) -> Float[Any, "*batch T V"]:
    """As the reference."""
    check_tokens(tokens, config)
    return _transformer(params, tokens, config)


@checked
def transformer_with_auxiliary_loss(
    params: Params, tokens: Tokens, config: Config, mesh: Mesh | None = None
) -> tuple[Float[Any, "*batch T V"], Float[Any, ""]]:
    """As the reference; with the experts on several devices where the axis "expert" of `mesh` has them."""
    return transformer_with_routing(params, tokens, config, mesh)[:2]


@checked
def transformer_with_routing(
    params: Params, tokens: Tokens, config: Config, mesh: Mesh | None = None
) -> tuple[Float[Any, "*batch T V"], Float[Any, ""], Int[Any, "L E"] | None]:
    """`transformer_with_auxiliary_loss`, and `layer_loads` of the same pass where there are experts."""
    check_tokens(tokens, config)
    return _transformer_with_routing(params, tokens, config, mesh)


@checked
def layer_loads(params: Params, tokens: Tokens, config: Config) -> Int[Any, "L E"]:
    """As the reference."""
    if config.moe is None:
        raise InputError("layer_loads: the model has no experts.")
    return transformer_with_routing(params, tokens, config)[2]


@checked
def prefill(
    params: Params, tokens: Tokens, cache: KVCache, config: Config, length: Any = None
) -> tuple[Float[Any, "*batch V"], KVCache]:
    """As the reference; the cache given is used up. Pad prompts to a few lengths: each length is compiled once."""
    check_tokens(tokens, config)
    check_capacity(cache, tokens.shape[-1])
    length = tokens.shape[-1] if length is None else length
    logits, layers = _read(params, tokens, cache.layers, cache.length, length, config)
    return logits, KVCache(layers, cache.length + length)


@checked
def decode(
    params: Params, token: Int[Any, "*batch"], cache: KVCache, config: Config
) -> tuple[Float[Any, "*batch V"], KVCache]:
    """As the reference; the cache given is used up. An id outside the vocabulary gives NaN, not an error."""
    check_capacity(cache, 1)
    logits, layers = _read(params, token[..., None], cache.layers, cache.length, 1, config)
    return logits, KVCache(layers, cache.length + 1)


def hidden_states(params: Params, tokens: Tokens, config: Config, cache: KVCache | None = None) -> tuple[Hidden, Any]:
    """As the reference."""
    x, filled, _, _ = _blocks(params, tokens, config, cache, None)
    return x, filled


def _blocks(
    params: Params, tokens: Tokens, config: Config, cache: KVCache | None, mesh: Mesh | None
) -> tuple[Hidden, Any, Any, Any]:
    """`hidden_states`, the sum of the layers' auxiliary losses and their loads; XLA leaves out what is not used."""
    T, start = tokens.shape[-1], cache.length if cache else 0
    x = params["embedding"].at[tokens].get(mode="fill", fill_value=jnp.nan)
    positions = start + jnp.arange(T)
    rotation = rotation_of(positions, config, x.dtype)
    rotation = jax.lax.optimization_barrier(rotation)  # or XLA:CPU computes it anew in every layer
    window = config.sliding_window
    mask = causal_mask(T, cache.capacity, start, window) if cache else Causal(window)
    layers: list[Any] = []
    loads: list[Any] = []
    auxiliary = jnp.zeros((), x.dtype)
    for index, layer in enumerate(params["layers"]):
        normed = rms_norm(x, layer["attention_norm"], config.norm_eps)
        weights, past = AttentionWeights(**layer["attention"]), cache.layers[index] if cache else None
        attended, past = multi_head_attention(normed, weights, config.head_dim, mask, rotation, past, start)
        x = x + attended
        normed = rms_norm(x, layer["mlp_norm"], config.norm_eps)
        fed, loss = _feed_forward(normed, layer, config, cache is not None, mesh)
        x, auxiliary = x + fed, auxiliary + loss
        layers.append(past)
        if config.moe:
            loads.append(moe_loads(normed, layer["moe"], config.moe))
    x = rms_norm(x, params["final_norm"], config.norm_eps)
    return x, KVCache(layers, start + T) if cache else None, auxiliary, jnp.stack(loads) if loads else None


def _feed_forward(x: Hidden, layer: Params, config: Config, cached: bool, mesh: Mesh | None) -> tuple[Hidden, Any]:
    """As the reference, and the auxiliary loss."""
    if config.moe is None:
        return swiglu(x, **layer["mlp"]), jnp.zeros((), x.dtype)
    routing = replace(config.moe, capacity_factor=None) if cached else config.moe
    return moe(x, layer["moe"], routing, mesh=mesh), auxiliary_loss(x, layer["moe"], routing)


def rotation_of(positions: Positions, config: Config, dtype: Any) -> tuple[Rotation, Rotation]:
    """As the reference."""
    theta, factors, attention_factor = config.rope_theta, config.rope_factors, config.rope_attention_factor
    return rotary_cos_sin(positions, config.head_dim, theta, factors, dtype, attention_factor)


def unembed(params: Params, x: Float[Any, "*batch D"]) -> Float[Any, "*batch V"]:
    """As the reference."""
    return linear(x, params["head"] if "head" in params else Transposed(params["embedding"]))


def check_tokens(tokens: Tokens, config: Config) -> None:
    """As the reference, where the ids are known; inside `jit` an id outside the vocabulary gives NaN."""
    if tokens.shape[-1] == 0:
        raise InputError("transformer: there are no tokens; give at least one.")
    if isinstance(tokens, jax.core.Tracer):
        return
    lowest, highest = np.min(tokens), np.max(tokens)
    if lowest < 0 or highest >= config.vocab_size:
        bad = lowest if lowest < 0 else highest
        raise InputError(f"transformer: token id {bad} is outside the vocabulary of {config.vocab_size}.")


@partial(jax.jit, static_argnames="config")
def _transformer(params: Params, tokens: Tokens, config: Config) -> Float[Any, "*batch T V"]:
    x, _ = hidden_states(params, tokens, config)
    return unembed(params, x)


@partial(jax.jit, static_argnames=("config", "mesh"))
def _transformer_with_routing(params: Params, tokens: Tokens, config: Config, mesh: Mesh | None) -> Any:
    x, _, auxiliary, loads = _blocks(params, tokens, config, None, mesh)
    return unembed(params, x), auxiliary, loads


@partial(jax.jit, static_argnames="config", donate_argnames="layers")
def _read(params: Params, tokens: Tokens, layers: Any, start: Any, length: Any, config: Config) -> Any:
    x, filled = hidden_states(params, tokens, config, KVCache(layers, start))
    return unembed(params, jax.lax.dynamic_index_in_dim(x, length - 1, x.ndim - 2, keepdims=False)), filled.layers
