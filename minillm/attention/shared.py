"""What the reference of attention and its twin share: what they pass on, and the arguments that both refuse."""

from typing import Any, NamedTuple

from jaxtyping import Float

from minillm.axes import is_traced
from minillm.errors import InputError


class AttentionWeights(NamedTuple):
    """The four matrices of a multi-head layer, heads side by side in the columns (`output`: in the rows)."""

    query: Float[Any, "D NH"]
    key: Float[Any, "D KH"]
    value: Float[Any, "D KH"]
    output: Float[Any, "NH D"]


class LayerCache(NamedTuple):
    """One layer's keys and values, with a capacity of S positions."""

    key: Float[Any, "*batch K S H"]
    value: Float[Any, "*batch K S H"]


class KVCache(NamedTuple):
    """All layers' past, of which the first `length` positions are filled; inside `jax.jit` the length may be traced."""

    layers: list[LayerCache]
    length: Any

    @property
    def capacity(self) -> int:
        """How many positions it can hold."""
        return self.layers[0].key.shape[-2]


def check_heads(function: str, N: int, K: int) -> None:
    """Refuse query heads that cannot share key/value heads evenly."""
    if N % K:
        raise InputError(f"{function}: {N} query heads do not divide among {K} key/value heads.")


def check_blocks(T: int, S: int, N: int, K: int, causal: bool, window: int | None, block: int) -> None:
    """Refuse what has no meaning.

    >>> check_blocks(5, 3, 1, 1, True, None, 128)
    Traceback (most recent call last):
    minillm.errors.InputError: flash_attention: 5 queries are more than 3 positions; causal ones are the last of them.
    """
    check_heads("flash_attention", N, K)
    if causal and T > S:
        raise InputError(f"flash_attention: {T} queries are more than {S} positions; causal ones are the last of them.")
    if window is not None and (window < 1 or not causal):
        raise InputError(f"flash_attention: window {window} needs causal=True and at least 1 position.")
    if block < 1:
        raise InputError(f"flash_attention: block is {block}; it must be at least 1.")


def check_cache_size(batch_size: int, capacity: int) -> None:
    """Refuse a cache that could hold nothing."""
    if batch_size < 1 or capacity < 1:
        raise InputError(f"init_cache: batch_size {batch_size} and capacity {capacity} must be at least 1.")


def check_capacity(cache: KVCache, num_tokens: int) -> None:
    """Refuse tokens beyond the cache's capacity, where its length is known.

    >>> from minillm.attention.cache import init_cache
    >>> from minillm.config import TINY
    >>> check_capacity(init_cache(TINY, 1, 3)._replace(length=2), 2)
    Traceback (most recent call last):
    minillm.errors.InputError: The cache holds 2 of at most 3 positions; 2 more do not fit. Make a larger one.
    """
    if not is_traced(cache.length) and cache.length + num_tokens > cache.capacity:
        raise InputError(
            f"The cache holds {cache.length} of at most {cache.capacity} positions; {num_tokens} more do not fit. "
            "Make a larger one."
        )
