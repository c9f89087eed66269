"""Flash attention in blocks, with a gradient that keeps O(T) too: for long sequences, and for prompts behind a cache.

The one loop over blocks of keys of all fast forms. The backward pass computes the weights of a block again from the
scores and each query's log-sum L. With p = exp(s - L) and delta = sum_h g o,

    dv = p^T g,    ds = p (g v^T - delta),    dq = ds k scale,    dk = ds^T q scale        [Dao2022], B.4

Below, everything is about one key head and the G query heads that share it: their blocks of queries are joined
to R = rows x G rows, so that every product is one of two matrices.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from minillm.attention.shared import check_blocks
from minillm.axes import Key, Query, Value, checked, wide

Grouped = Float[Any, "heads T G H"]
_CPU_BLOCK = 1024  # long rows make fast products; the scores of one head and block still fit the last cache
_CACHE_BLOCK = 256  # where the start is traced no block lies on the diagonal, and small ones hide less
_STRIPS = 4
_LARGEST_SUM = 1e25  # exp(57); in SmolLM2, at 2048 tokens, the largest is exp(46)
_DEVICE_BLOCK = 256  # with all heads at once; compiled for a v5e (tests/attention/test_tpu_compile.py), timed on none


@partial(jax.jit, static_argnames=("causal", "window", "block"))
@checked
def flash_blocks(
    query: Query,
    key: Key,
    value: Value,
    causal: bool = True,
    window: int | None = None,
    block: int | None = None,
    start: Any = None,
) -> Query:
    """As `minillm.attention.flash_jax`; without `block` in blocks of a size for the device.

    The causal queries are the last T of S positions, or stand at `start` on, which may be traced.
    """
    (T, N, H), (S, K, _) = query.shape[-3:], key.shape[-3:]
    check_blocks(T, S, N, K, causal, window, 1 if block is None else block)
    queries = jnp.moveaxis(query.reshape(*query.shape[:-2], K, N // K, H), -3, -4).reshape(-1, T, N // K, H)
    keys, values = (jnp.moveaxis(x, -3, -2).reshape(-1, S, H) for x in (key, value))
    known = S - T if start is None else start if isinstance(start, int) else None
    out = _flash(queries, keys, values, None if known is not None else start, Program(causal, window, block, known))
    return jnp.moveaxis(out.reshape(*query.shape[:-3], K, T, N // K, H), -4, -3).reshape(query.shape)


class Program(NamedTuple):
    """What is known before the program runs; `start` is None where it is traced."""

    causal: bool
    window: int | None
    block: int | None
    start: int | None


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _flash(queries: Grouped, keys: Any, values: Any, start: Any, how: Program) -> Grouped:
    return _flash_forward(queries, keys, values, start, how)[0]


def _flash_forward(queries: Grouped, keys: Any, values: Any, start: Any, how: Program) -> Any:
    out, log_sum = _each_head(one_head, how, start, queries, keys, values)
    return out, (queries, keys, values, start, out, log_sum)


def _flash_backward(how: Program, saved: Any, g: Grouped) -> Any:
    queries, keys, values, start, out, log_sum = saved
    delta = jnp.sum(wide(g) * wide(out), axis=-1, keepdims=True)
    return *_each_head(_backward, how, start, queries, keys, values, g, log_sum, delta), None


_flash.defvjp(_flash_forward, _flash_backward)


def _each_head(function: Callable[..., Any], how: Program, start: Any, *arrays: Any) -> Any:
    """`function` of every key head: all at once on a GPU or TPU; one after the other on a CPU, within its caches."""
    (T, G), S = arrays[0].shape[-3:-1], arrays[1].shape[-2]

    def on_cpu(*arrays: Any) -> Any:
        grid = Grid(T, S, G, how, start, _CPU_BLOCK if start is None else _CACHE_BLOCK)
        return jax.lax.map(lambda head: function(grid, *head), arrays)

    def elsewhere(*arrays: Any) -> Any:
        grid = Grid(T, S, G, how, start, _DEVICE_BLOCK, "heads")
        return jax.vmap(partial(function, grid), axis_name=grid.axis_name)(*arrays)

    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)


def one_head(grid: "Grid", queries: Any, keys: Any, values: Any) -> Any:
    """Output and log-sum-exp (with an axis of one behind) of every query of a head.

    Whatever is taken from all scores of a query, softmax is the same; and if that is one of them, the score of the
    query's own position, no sum is below 1. So no block is searched for its largest score. Only where a sum came out
    too large that way is a block of queries computed again, with the largest.
    """
    q, k, v, own = grid.rows(queries), grid.columns(keys), grid.columns(values), grid.own_keys(keys)

    def query_block(row: Any, written: Any) -> Any:
        q_block = wide(q[row]) * q.shape[-1] ** -0.5

        def again(state: Any) -> Any:
            largest = _largest(grid, row, q_block, k, state[0])
            return largest, *_sums(grid, row, q_block, k, v, largest)

        by_position = q_block.reshape(grid.row_size, grid.num_heads, -1)
        offset = jnp.sum(by_position * wide(own[row])[:, None], axis=-1).reshape(-1, 1)
        state = offset, *_sums(grid, row, q_block, k, v, offset)
        offset, total, out = jax.lax.cond(grid.in_all_heads(state[1] < _LARGEST_SUM), lambda state: state, again, state)
        safe = jnp.where(total == 0, 1, total)
        log_sum = jnp.where(total == 0, jnp.inf, offset + jnp.log(safe))  # weights of exp(-inf) = 0 in the gradient
        outs, log_sums = written
        return _put(outs, row, out / safe), _put(log_sums, row, log_sum)

    unwritten = jnp.zeros_like(q), jnp.zeros(q[..., :1].shape, wide(q).dtype)
    out, log_sum = jax.lax.fori_loop(0, grid.num_rows, query_block, unwritten)
    return grid.from_rows(out), grid.from_rows(log_sum)


def _sums(grid: "Grid", row: Any, q_block: Any, k: Any, v: Any, offset: Any) -> Any:
    """The sums of exp(score - offset), and of that times the values, for a block of queries over all keys it sees."""

    def key_block(masked: bool, column: Any, state: Any) -> Any:
        parts = []
        for rows, columns, scores in _scores(grid, masked, row, column, q_block, k):
            powers = jnp.exp(scores - offset[rows])
            sums = powers @ jnp.ones_like(powers[0, :, None])  # as a product it is done by all cores
            parts.append((sums, powers @ wide(v[column, columns])))
        sums, outs = map(jnp.concatenate, zip(*parts, strict=True))
        return state[0] + sums, state[1] + outs

    return grid.over_columns(row, key_block, (jnp.zeros_like(offset), jnp.zeros_like(q_block)))


def _largest(grid: "Grid", row: Any, q_block: Any, k: Any, offset: Any) -> Any:
    """The largest score of each query of a block, where `offset` is one of its scores."""

    def key_block(masked: bool, column: Any, state: Any) -> Any:
        tiles = _scores(grid, masked, row, column, q_block, k)
        return jnp.maximum(state, jnp.concatenate([jnp.max(x, axis=-1, keepdims=True) for _, _, x in tiles]))

    return grid.over_columns(row, key_block, offset)


def _scores(grid: "Grid", masked: bool, row: Any, column: Any, q_block: Any, k: Any) -> Iterator[Any]:
    """Of a pair of blocks its tiles: which rows and columns, and their scores."""
    for rows, columns in grid.tiles(masked):
        scores = q_block[rows] @ wide(k[column, columns]).T
        if masked:
            scores = jnp.where(grid.visible(rows, columns, row, column), scores, -jnp.inf)
        yield rows, columns, scores


def _backward(grid: "Grid", queries: Any, keys: Any, values: Any, g: Any, log_sum: Any, delta: Any) -> Any:
    """The gradients by the queries, keys and values of a head."""
    q, k, v = grid.rows(queries), grid.columns(keys), grid.columns(values)
    g, log_sum, delta = grid.rows(g), grid.rows(log_sum, jnp.inf), grid.rows(delta)
    scale = q.shape[-1] ** -0.5

    def query_block(row: Any, gradients: Any) -> Any:
        q_block, g_block, total, correction = wide(q[row]) * scale, wide(g[row]), log_sum[row], delta[row]
        # (H, R) @ (R, columns) is fast where (columns, R) @ (R, H) would first transpose the scores
        q_across, g_across = q_block.T, g_block.T

        def key_block(masked: bool, column: Any, state: Any) -> Any:
            dq_block, dk, dv = state
            dk_block, dv_block, dq_parts = dk[column], dv[column], []
            for rows, columns, scores in _scores(grid, masked, row, column, q_block, k):
                k_tile, v_tile = wide(k[column, columns]), wide(v[column, columns])
                weights = jnp.exp(scores - total[rows])
                dscores = weights * (g_block[rows] @ v_tile.T - correction[rows])
                dq_parts.append(dscores @ k_tile)
                dk_block = dk_block.at[:, columns].add(q_across[:, rows] @ dscores)
                dv_block = dv_block.at[:, columns].add(g_across[:, rows] @ weights)
            return dq_block + jnp.concatenate(dq_parts), _put(dk, column, dk_block), _put(dv, column, dv_block)

        dq, dk, dv = gradients
        dq_block, dk, dv = grid.over_columns(row, key_block, (jnp.zeros_like(q_block), dk, dv))
        return _put(dq, row, dq_block * scale), dk, dv

    across = jnp.zeros((*k.shape[:-2], k.shape[-1], k.shape[-2]), wide(k).dtype)
    dq, dk, dv = jax.lax.fori_loop(0, grid.num_rows, query_block, (jnp.zeros_like(q), across, across))
    dk, dv = (grid.from_columns(x.mT) for x in (dk, dv))
    return grid.from_rows(dq), dk.astype(keys.dtype), dv.astype(values.dtype)


class Grid:
    """How T queries of a few heads and S keys fall into blocks, and which blocks see each other."""

    def __init__(
        self, T: int, S: int, num_heads: int, how: Program, start: Any, block: int, axis_name: str | None = None
    ):
        """`block` is for where none was asked for; `axis_name` is that of the key heads where all are done at once."""
        self.T, self.S, self.num_heads, self.causal, self.window = T, S, num_heads, how.causal, how.window
        self.start: Any = how.start if start is None else start
        self.axis_name = axis_name
        block = how.block or block
        self.row_size, self.column_size = min(block, T), min(block, S)
        self.num_rows, self.num_columns = -(-T // self.row_size), -(-S // self.column_size)
        squares = how.start is not None and self.row_size == self.column_size and how.start % self.column_size == 0
        self.on_diagonal = squares and how.causal and how.window is None

    def own_keys(self, keys: Any) -> Any:
        """(num_rows, row_size, H): the key of each query's own position; if not causal, the first."""
        at_start = partial(jax.lax.dynamic_slice_in_dim, start_index=self.start, slice_size=self.T)
        own = at_start(keys) if self.causal else jnp.broadcast_to(keys[:1], (self.T, keys.shape[-1]))
        return _pad(own, self.num_rows * self.row_size, 0.0).reshape(self.num_rows, self.row_size, -1)

    def in_all_heads(self, condition: Any) -> Any:
        """Whether it holds everywhere, of all heads at once: of each by itself, `cond` would compute both branches."""
        holds = jnp.all(condition)
        return holds if self.axis_name is None else jax.lax.pmin(holds.astype(int), self.axis_name) > 0

    def rows(self, x: Any, fill: float = 0.0) -> Any:
        """(T, G, X) as blocks (num_rows, R, X), each query's heads side by side, the last block filled up."""
        return _pad(x, self.num_rows * self.row_size, fill).reshape(self.num_rows, -1, x.shape[-1])

    def from_rows(self, blocks: Any) -> Any:
        """What `rows` was given."""
        return blocks.reshape(-1, self.num_heads, blocks.shape[-1])[: self.T]

    def columns(self, x: Any) -> Any:
        """(S, X) as blocks (num_columns, columns, X), the last one filled up with zeros."""
        return _pad(x, self.num_columns * self.column_size, 0.0).reshape(self.num_columns, -1, x.shape[-1])

    def from_columns(self, blocks: Any) -> Any:
        """What `columns` was given."""
        return blocks.reshape(-1, blocks.shape[-1])[: self.S]

    def over_columns(self, row: Any, key_block: Callable[..., Any], state: Any) -> Any:
        """`state` after key_block(masked, column, state) for every block of keys that a block of queries sees any of.

        Only the blocks at an edge of what is seen need a mask.
        """
        if self.on_diagonal:
            column = row + self.start // self.column_size
            return jax.lax.fori_loop(0, column, partial(key_block, False), key_block(True, column, state))
        first: Any = self.start + row * self.row_size if self.causal else self.S - 1
        last: Any = jnp.minimum(first + self.row_size, self.S) - 1 if self.causal else self.S - 1
        high: Any = last // self.column_size + 1
        inner_high: Any = (first + 1) // self.column_size
        low: Any = 0
        inner_low: Any = 0
        if self.window is not None:
            low = jnp.maximum(first - self.window + 1, 0) // self.column_size
            inner_low = jnp.maximum(last - self.window + self.column_size, 0) // self.column_size
            inner_low = jnp.minimum(inner_low, high)
            inner_high = jnp.maximum(inner_low, inner_high)
            state = jax.lax.fori_loop(low, inner_low, partial(key_block, True), state)
        state = jax.lax.fori_loop(inner_low, inner_high, partial(key_block, False), state)
        return jax.lax.fori_loop(inner_high, high, partial(key_block, True), state)

    def tiles(self, masked: bool) -> list[tuple[slice, slice]]:
        """What of a pair of blocks is computed: rows of the queries, and the keys for them.

        All of it; where the diagonal cuts the pair from corner to corner four strips, each up to where its rows see.
        """
        if not (masked and self.on_diagonal):
            return [(slice(None), slice(None))]
        bounds = sorted({self.row_size * strip // _STRIPS for strip in range(_STRIPS + 1)})
        return [(slice(low * self.num_heads, high * self.num_heads), slice(high)) for low, high in pairwise(bounds)]

    def visible(self, rows: slice, columns: slice, row: Any, column: Any) -> Any:
        """Which of a tile's queries may look at which of its keys."""
        query = jnp.repeat(jnp.arange(self.row_size), self.num_heads)[rows, None]
        key = jnp.arange(self.column_size)[columns]
        if self.on_diagonal:  # and so the same in every block, and known beforehand
            return key <= query
        query, key = query + self.start + row * self.row_size, key + column * self.column_size
        visible = key < self.S
        if self.causal:
            visible &= key <= query
            if self.window is not None:
                visible &= key > query - self.window
        return visible


def _put(blocks: Any, index: Any, block: Any) -> Any:
    """`blocks.at[index].set(block)` without a thought for an index that is not there, which takes time in a loop."""
    return jax.lax.dynamic_update_index_in_dim(blocks, block.astype(blocks.dtype), index, 0)


def _pad(x: Any, length: int, fill: float) -> Any:
    return jnp.pad(x, [(0, length - len(x))] + [(0, 0)] * (x.ndim - 1), constant_values=fill)
