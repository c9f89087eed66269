"""The order of experts' rows in memory: one row for every choice that is kept.

On a CPU the rows of an expert are worked on in chunks of a few fixed sizes. Chunks are stored in the order of work:
what one that is not full writes behind its end is overwritten by the next, so no memory is spent on padding.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from minillm.axes import wide
from minillm.experts.shared import Experts, Gates, Kept, Loads, Rows

_SIZES = (
    1 / 4,
    1 / 2,
    3 / 4,
    7 / 8,
    1,
    9 / 8,
    5 / 4,
    3 / 2,
    2,
)  # of chunks, over the rows that an expert gets if loads are even
_GRAIN = 8  # sizes are multiples of it


class Layout(NamedTuple):
    """Which row holds which choice. Rows that hold none are 0."""

    row: Int[Any, "T k"]  # of each choice; one behind the last where it is not kept
    token: Int[Any, "rows"]  # of each row; one behind the last where it holds none

    def rows_of(self, x: Rows) -> Float[Any, "rows D"]:
        """Each row's token."""
        return x.at[self.token].get(mode="fill", fill_value=0)

    def gates_of(self, gates: Gates) -> Float[Any, "rows"]:
        """Each row's gate."""
        return jnp.zeros(self.token.shape, gates.dtype).at[self.row].set(gates, mode="drop")

    def choices_of(self, rows: Float[Any, "rows *rest"]) -> Float[Any, "T k *rest"]:
        """Each choice's row, 0 where it is not kept."""
        return rows.at[self.row].get(mode="fill", fill_value=0)

    def sum_of(self, rows: Float[Any, "rows D"], dtype: Any) -> Rows:
        """The sum of each token's rows."""
        return jnp.sum(wide(self.choices_of(rows)), axis=1).astype(dtype)

    def gated_sum_of(self, rows: Float[Any, "rows D"], gates: Gates, dtype: Any) -> Rows:
        """The sum of each token's rows, each times its gate."""
        choices = wide(self.choices_of(rows))
        return jnp.sum(choices * gates[..., None].astype(choices.dtype), axis=1).astype(dtype)


class Chunks(NamedTuple):
    """The work list: first whole chunks of the largest size, then each expert's rest, by the size that holds it."""

    sizes: tuple[int, ...]
    whole: Any  # how many whole chunks there are
    whole_experts: Int[Any, "chunks"]
    rest_experts: Int[Any, "E"]  # in the order of work
    rest_firsts: Int[Any, "E"]  # the first row of each
    rest_lengths: Int[Any, "E"]
    rest_ends: Int[Any, "sizes"]  # where in that order the rests of each size end

    def each(self, function: Callable[..., Any], state: Any) -> Any:
        """`state` after function(size, expert, first row, length, state) for every chunk."""
        largest = self.sizes[-1]

        def whole_chunk(i: Any, state: Any) -> Any:
            return function(largest, self.whole_experts[i], i * largest, largest, state)

        state = jax.lax.fori_loop(0, self.whole, whole_chunk, state)
        for index, size in enumerate(self.sizes):

            def rest(i: Any, state: Any, size: int = size) -> Any:
                return function(size, self.rest_experts[i], self.rest_firsts[i], self.rest_lengths[i], state)

            start = self.rest_ends[index - 1] if index else 0
            state = jax.lax.fori_loop(start, self.rest_ends[index], rest, state)
        return state


def in_order(experts: Experts, kept: Kept, num_experts: int) -> tuple[Layout, Loads]:
    """Expert after expert; and how many rows each has."""
    experts = experts.astype(jnp.int32)
    places, loads = _queues(experts, kept, num_experts)
    firsts = jnp.cumsum(loads, dtype=jnp.int32) - loads
    num_rows = experts.size + _chunk_sizes(experts.shape, num_experts)[-1]  # both layouts save arrays of one shape
    return _layout(firsts[experts] + places, kept, num_rows), loads


def chunked(experts: Experts, kept: Kept, num_experts: int) -> tuple[Layout, Chunks]:
    """Chunk after chunk, in the order of work; and the work."""
    experts = experts.astype(jnp.int32)
    places, loads = _queues(experts, kept, num_experts)
    sizes = _chunk_sizes(experts.shape, num_experts)
    largest = sizes[-1]
    whole, rest = loads // largest, loads % largest
    whole_ends = jnp.cumsum(whole, dtype=jnp.int32)
    chunk_numbers = jnp.arange(experts.size // largest + 1, dtype=jnp.int32)
    whole_experts = jnp.sum(whole_ends <= chunk_numbers[:, None], axis=-1, dtype=jnp.int32)
    kind = jnp.sum(rest[:, None] > jnp.array(sizes, jnp.int32), axis=-1, dtype=jnp.int32)
    kind = jnp.where(rest == 0, len(sizes), kind)
    order = jnp.argsort(kind).astype(jnp.int32)
    lengths = rest[order]
    firsts = whole_ends[-1] * largest + jnp.cumsum(lengths, dtype=jnp.int32) - lengths
    rest_ends = jnp.sum(kind[:, None] <= jnp.arange(len(sizes), dtype=jnp.int32), axis=0, dtype=jnp.int32)
    chunks = Chunks(sizes, whole_ends[-1], whole_experts, order, firsts, lengths, rest_ends)
    in_whole = whole * largest
    whole_firsts = (whole_ends - whole) * largest
    rest_firsts = jnp.zeros_like(firsts).at[order].set(firsts, unique_indices=True) - in_whole
    starts = jnp.where(places < in_whole[experts], whole_firsts[experts], rest_firsts[experts])
    return _layout(starts + places, kept, experts.size + largest), chunks  # the last one may write behind its end


def in_buffers(experts: Experts, kept: Kept, num_experts: int, capacity: int) -> Layout:
    """Each expert's rows in a buffer of their own, which holds `capacity` of them."""
    experts = experts.astype(jnp.int32)
    places, _ = _queues(experts, kept, num_experts)
    row = experts * capacity + places
    return _layout(row, kept & (places < capacity), num_experts * capacity)


def places_in_groups(groups: Int[Any, "A"], num_groups: int) -> Int[Any, "A"]:
    """How many earlier entries are of the same group."""
    order = jnp.argsort(groups, stable=True)
    in_order = groups[order]
    first = jnp.searchsorted(in_order, jnp.arange(num_groups, dtype=groups.dtype)).astype(jnp.int32)
    places = jnp.arange(len(groups), dtype=jnp.int32) - first[in_order]
    return jnp.zeros_like(places).at[order].set(places, unique_indices=True)


def _queues(experts: Experts, kept: Kept, num_experts: int) -> tuple[Int[Any, "T k"], Loads]:
    """Of each choice its place among the kept ones of its expert, and how many of those there are."""
    group = jnp.where(kept, experts, num_experts).reshape(-1)
    places = places_in_groups(group, num_experts + 1).reshape(experts.shape)
    return places, jnp.sum(group[:, None] == jnp.arange(num_experts, dtype=group.dtype), axis=0, dtype=jnp.int32)


def _layout(row: Int[Any, "T k"], kept: Kept, num_rows: int) -> Layout:
    T, k = row.shape
    row = jnp.where(kept, row, num_rows)
    tokens = jnp.broadcast_to(jnp.arange(T, dtype=jnp.int32)[:, None], (T, k))
    return Layout(row, jnp.full(num_rows, T, jnp.int32).at[row].set(tokens, mode="drop", unique_indices=True))


def _chunk_sizes(shape: tuple[int, ...], num_experts: int) -> tuple[int, ...]:
    """Multiples of the grain around an expert's even load; none larger than all tokens."""
    T, k = shape
    even, most = T * k / num_experts, -(-T // _GRAIN) * _GRAIN
    return tuple(sorted({min(math.ceil(even * size / _GRAIN) * _GRAIN, most) for size in _SIZES}))
