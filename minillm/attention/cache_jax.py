"""The KV cache, jitted: `minillm.attention.cache` for CPU, GPU and TPU."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from minillm.axes import Key, Value, checked
from minillm.config import Config
from minillm.errors import InputError


class LayerCache(NamedTuple):
    """As the reference."""

    key: Float[Any, "*batch K S H"]
    value: Float[Any, "*batch K S H"]


class KVCache(NamedTuple):
    """As the reference. `length` is a Python integer, known before a program runs; a traced one inside `jit`."""

    layers: list[LayerCache]
    length: Any

    @property
    def capacity(self) -> int:
        """How many positions there is room for."""
        return self.layers[0].key.shape[-2]


def init_cache(config: Config, batch_size: int, capacity: int, dtype: Any = jnp.float32) -> KVCache:
    """As the reference."""
    if batch_size < 1 or capacity < 1:
        raise InputError(f"init_cache: batch_size {batch_size} and capacity {capacity} must be at least 1.")
    shape = (batch_size, config.num_kv_heads, capacity, config.head_dim)
    return KVCache([LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(config.num_layers)], 0)


def cache_bytes(config: Config, batch_size: int, capacity: int, bytes_per_number: int = 4) -> int:
    """As the reference."""
    numbers = 2 * config.num_layers * batch_size * capacity * config.num_kv_heads * config.head_dim
    return numbers * bytes_per_number


@partial(jax.jit, donate_argnames="layer")
@checked
def append(layer: LayerCache, key: Key, value: Value, start: Any) -> LayerCache:
    """Differs: the layer given is used up, so that the write happens in place."""
    at = (*[0] * (layer.key.ndim - 2), start, 0)
    return LayerCache(
        jax.lax.dynamic_update_slice(layer.key, jnp.moveaxis(key, -3, -2), at),
        jax.lax.dynamic_update_slice(layer.value, jnp.moveaxis(value, -3, -2), at),
    )


def check_capacity(cache: KVCache, num_tokens: int) -> None:
    """As the reference, where the length is known; a traced one cannot be looked at."""
    if isinstance(cache.length, int) and cache.length + num_tokens > cache.capacity:
        raise InputError(
            f"The cache holds {cache.length} of at most {cache.capacity} positions; {num_tokens} more do not fit. "
            "Make a larger one."
        )
