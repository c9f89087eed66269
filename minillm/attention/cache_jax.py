"""The KV cache in JAX. What differs: a write uses the old arrays up, so that it happens in place."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from minillm.attention.shared import KVCache, LayerCache, check_cache_size
from minillm.axes import Key, Value, checked
from minillm.config import Config


def init_cache(config: Config, batch_size: int, capacity: int, dtype: Any = jnp.float32) -> KVCache:
    """As the reference."""
    check_cache_size(batch_size, capacity)
    shape = (batch_size, config.num_kv_heads, capacity, config.head_dim)
    return KVCache([LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(config.num_layers)], 0)


@partial(jax.jit, donate_argnames="layer")
@checked
def append(layer: LayerCache, key: Key, value: Value, start: Any) -> LayerCache:
    """As the reference; the layer handed over is used up."""
    at = (*[0] * (layer.key.ndim - 2), start, 0)
    return LayerCache(
        jax.lax.dynamic_update_slice(layer.key, jnp.moveaxis(key, -3, -2), at),
        jax.lax.dynamic_update_slice(layer.value, jnp.moveaxis(value, -3, -2), at),
    )
