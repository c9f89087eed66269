"""The one chooser among the forms of attention, by device and size: training, prefill, scoring and decoding call it.

| mask                                 | form                                                              |
|--------------------------------------|-------------------------------------------------------------------|
| an array                             | the plain twin, `minillm.attention.attention_jax`                 |
| none                                 | the device's kernel; else the plain twin, or `flash` if S > 1024  |
| causal, of a sequence to itself      | the device's kernel; else `causal`, or `flash` if T > 1024        |
| causal, of a prompt to a cache       | `flash`                                                           |
| causal, of one token to a cache      | `prefix`: the plain twin over the filled part, in a few lengths   |

Each is held to the plain twin in values and gradients (tests/attention/test_fast_attention.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from minillm.attention.attention_jax import scaled_dot_product_attention
from minillm.attention.fast.causal import causal_attention
from minillm.attention.fast.device import by_device
from minillm.attention.fast.flash import flash_blocks
from minillm.attention.fast.prefix import prefix_attention
from minillm.axes import Key, Mask, Query, Value
from minillm.errors import InputError

LONGEST = 1024  # on a CPU flash attention is slower below, and as fast at 2048 (benchmarks/notes.md)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class Causal:
    """`causal_mask(T, S, start, window)` by its name: T queries at positions `start` on, of S positions for keys.

    It is never made, so attention can pass over what it hides. A `start` that is a plain number is known to the
    program; a traced one is not, and one program serves every position.
    """

    start: Any = 0
    window: int | None = None

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """A known start belongs to the program, as the window does."""
        known = isinstance(self.start, int)
        return (() if known else (self.start,)), (self.start if known else None, self.window)

    @classmethod
    def tree_unflatten(cls, static: tuple[Any, ...], traced: tuple[Any, ...]) -> "Causal":
        """What `tree_flatten` took apart."""
        start, window = static
        return cls(traced[0] if traced else start, window)


def attend(query: Query, key: Key, value: Value, mask: Mask | Causal | None = None) -> Query:
    """`scaled_dot_product_attention`, in the form that suits the mask, the shapes and the device.

    >>> import jax.numpy as jnp
    >>> one = jnp.ones((2, 1, 2))
    >>> attend(one, one, jnp.array([[[1.0, 1.0]], [[3.0, 3.0]]]), Causal()).tolist()
    [[[1.0, 1.0]], [[2.0, 2.0]]]
    """
    T, S = query.shape[-3], key.shape[-3]
    blocks: Callable[..., Query]
    if isinstance(mask, Causal):
        start, window = mask.start, mask.window
        if isinstance(start, int) and start + T > S:
            raise InputError(f"attend: {T} queries from position {start} on are more than {S} positions.")
        at_the_end = isinstance(start, int) and start + T == S
        if T == 1 and not at_the_end:
            return prefix_attention(query, key, value, start, window)
        if T == S and at_the_end and T <= LONGEST:
            blocks = partial(causal_attention, window=window)
        else:
            blocks = partial(flash_blocks, causal=True, window=window, start=start)
        return by_device(blocks, query, key, value, True, window) if at_the_end else blocks(query, key, value)
    if mask is None:
        blocks = scaled_dot_product_attention if S <= LONGEST else partial(flash_blocks, causal=False)
        return by_device(blocks, query, key, value, False, None)
    return scaled_dot_product_attention(query, key, value, mask)
