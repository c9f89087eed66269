"""Attention sinks in JAX. What differs: `offset` may be traced, so that one program serves every position."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from minillm.attention.attention_jax import causal_mask
from minillm.axes import Mask


@partial(jax.jit, static_argnames=("query_length", "key_length", "window", "sinks"))
def sink_mask(query_length: int, key_length: int, window: int, sinks: int = 4, offset: Any = 0) -> Mask:
    """As the reference."""
    is_sink = jnp.arange(key_length) < sinks
    causal = causal_mask(query_length, key_length, offset)
    return causal_mask(query_length, key_length, offset, window) | (causal & is_sink)
