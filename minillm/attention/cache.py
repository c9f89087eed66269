"""The KV cache: keys and values of past tokens, kept so that the next token costs one row, not a matrix.

Under a causal mask a token's keys and values never change once computed, so decoding with the cache
gives what the full forward pass gives. The price is memory:

    bytes = 2 L B S K H x bytes per number          [Pope2022]

which grows with the context, and is why key/value heads are shared. The arrays are laid out (B, K, S, H):
all positions of one head lie together, so that reading them needs no transpose.
"""

from typing import Any

import numpy as np

from minillm.attention.shared import KVCache, LayerCache, check_cache_size
from minillm.axes import Key, Value, checked
from minillm.config import Config


def init_cache(config: Config, batch_size: int, capacity: int, dtype: Any = np.float32) -> KVCache:
    """An empty cache.

    >>> from minillm.config import TINY
    >>> [layer.key.shape for layer in init_cache(TINY, batch_size=3, capacity=16).layers]
    [(3, 1, 16, 2)]
    """
    check_cache_size(batch_size, capacity)
    shape = (batch_size, config.num_kv_heads, capacity, config.head_dim)
    return KVCache([LayerCache(np.zeros(shape, dtype), np.zeros(shape, dtype)) for _ in range(config.num_layers)], 0)


def cache_bytes(config: Config, batch_size: int, capacity: int, bytes_per_number: int = 4) -> int:
    """The size of `init_cache`'s arrays by the formula above.

    >>> from minillm.config import TINY
    >>> cache_bytes(TINY, batch_size=3, capacity=16)
    768
    """
    numbers = 2 * config.num_layers * batch_size * capacity * config.num_kv_heads * config.head_dim
    return numbers * bytes_per_number


@checked
def append(layer: LayerCache, key: Key, value: Value, start: int) -> LayerCache:
    """The layer with these keys and values written from position `start` on.

    >>> append(LayerCache(np.zeros((1, 3, 2)), np.zeros((1, 3, 2))), np.ones((1, 1, 2)), np.ones((1, 1, 2)), 1).key
    array([[[0., 0.],
            [1., 1.],
            [0., 0.]]])
    """
    positions = slice(start, start + key.shape[-3])
    keys, values = layer.key.copy(), layer.value.copy()
    keys[..., positions, :] = np.moveaxis(key, -3, -2)
    values[..., positions, :] = np.moveaxis(value, -3, -2)
    return LayerCache(keys, values)
