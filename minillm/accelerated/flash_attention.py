"""Flash attention, jitted: `minillm.reference.flash_attention` for CPU, GPU and TPU, with its gradient.

Where a GPU or TPU is there and has a kernel for the arrays, that computes it (`device_attention.py`). Everywhere else,
and where `block` is given, the blocks below do. Forward and backward keep O(T): the backward pass computes the weights
of a block again from the scores and each query's log-sum L. With p = exp(s - L) and delta = sum_h g o,

    dv = p^T g,    ds = p (g v^T - delta),    dq = ds k scale,    dk = ds^T q scale        (Dao et al. 2022, B.4)

Below, everything is about one key head and the G query heads that share it: their blocks of queries are joined
to R = rows x G rows, so that every product is one of two matrices.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from minillm.accelerated.device_attention import by_device
from minillm.axes import Key, Query, Value, checked, wide
from minillm.errors import InputError

Grouped = Float[Any, "heads G T H"]
_CPU_BLOCK = 1024  # long rows make fast products; the scores of one head and block still fit the last cache
_DEVICE_BLOCK = 256  # with all heads at once; compiled for a v5e (tests/test_tpu_compile.py), timed on none


@partial(jax.jit, static_argnames=("causal", "window", "block"))
@checked
def flash_attention(
    query: Query, key: Key, value: Value, causal: bool = True, window: int | None = None, block: int | None = None
) -> Query:
    """As the reference; without `block` as fits the device: by its own kernel, or in blocks of a size for it."""
    (T, N, _), (S, K, _) = query.shape[-3:], key.shape[-3:]
    check_blocks(T, S, N, K, causal, window, 1 if block is None else block)
    in_blocks = partial(_in_blocks, causal=causal, window=window, block=block)
    if block is not None:
        return in_blocks(query, key, value)
    return by_device(in_blocks, query, key, value, causal, window)


def _in_blocks(query: Query, key: Key, value: Value, causal: bool, window: int | None, block: int | None) -> Query:
    (T, N, H), (S, K, _) = query.shape[-3:], key.shape[-3:]
    queries = jnp.moveaxis(query, -3, -2).reshape(-1, N // K, T, H)
    keys, values = (jnp.moveaxis(x, -3, -2).reshape(-1, S, H) for x in (key, value))
    out = _flash(queries, keys, values, causal, window, block)
    return jnp.moveaxis(out.reshape(*query.shape[:-3], N, T, H), -3, -2)


def check_blocks(T: int, S: int, N: int, K: int, causal: bool, window: int | None, block: int) -> None:
    """As the reference."""
    if N % K:
        raise InputError(f"flash_attention: {N} query heads do not divide among {K} key/value heads.")
    if causal and T > S:
        raise InputError(f"flash_attention: {T} queries are more than {S} positions; causal ones are the last of them.")
    if window is not None and (window < 1 or not causal):
        raise InputError(f"flash_attention: window {window} needs causal=True and at least 1 position.")
    if block < 1:
        raise InputError(f"flash_attention: block is {block}; it must be at least 1.")


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _flash(queries: Grouped, keys: Any, values: Any, causal: bool, window: int | None, block: int | None) -> Grouped:
    return _flash_forward(queries, keys, values, causal, window, block)[0]


def _flash_forward(
    queries: Grouped, keys: Any, values: Any, causal: bool, window: int | None, block: int | None
) -> Any:
    out, log_sum = _each_head(_forward, (causal, window, block), queries, keys, values)
    return out, (queries, keys, values, out, log_sum)


def _flash_backward(causal: bool, window: int | None, block: int | None, saved: Any, g: Grouped) -> Any:
    queries, keys, values, out, log_sum = saved
    delta = jnp.sum(wide(g) * wide(out), axis=-1, keepdims=True)
    return _each_head(_backward, (causal, window, block), queries, keys, values, g, log_sum, delta)


_flash.defvjp(_flash_forward, _flash_backward)


def _each_head(function: Callable[..., Any], how: tuple[bool, int | None, int | None], *arrays: Any) -> Any:
    """`function` of every key head: all at once on a GPU or TPU; one after the other on a CPU, within its caches."""
    causal, window, block = how
    (G, T), S = arrays[0].shape[-3:-1], arrays[1].shape[-2]

    def on_cpu(*arrays: Any) -> Any:
        grid = _Grid(T, S, G, causal, window, block or _CPU_BLOCK)
        return jax.lax.map(lambda head: function(grid, *head), arrays)

    def elsewhere(*arrays: Any) -> Any:
        return jax.vmap(partial(function, _Grid(T, S, G, causal, window, block or _DEVICE_BLOCK)))(*arrays)

    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)


def _forward(grid: "_Grid", queries: Any, keys: Any, values: Any) -> Any:
    """Output and log-sum-exp (with an axis of one behind) of every query of a head."""
    q, k, v = grid.rows(queries), grid.columns(keys), grid.columns(values)

    def query_block(row: Any, written: Any) -> Any:
        q_block = wide(q[row]) * q.shape[-1] ** -0.5

        def tile(masked: bool, rows: slice, columns: slice, column: Any, state: Any) -> Any:
            largest, total, out = state
            scores = q_block[rows] @ wide(k[column, columns]).T
            if masked:
                scores = jnp.where(grid.visible(rows, columns, row, column), scores, -jnp.inf)
            new_largest = jnp.maximum(largest, jnp.max(scores, axis=-1, keepdims=True))
            reachable = jnp.where(jnp.isneginf(new_largest), 0, new_largest) if masked else new_largest
            shrink, powers = jnp.exp(largest - reachable), jnp.exp(scores - reachable)
            sums = powers @ jnp.ones_like(powers[0, :, None])  # as a product it is done by all cores
            return new_largest, total * shrink + sums, out * shrink + powers @ wide(v[column, columns])

        def key_block(masked: bool, column: Any, state: Any) -> Any:
            tiles = [
                tile(masked, rows, columns, column, jax.tree.map(lambda x, rows=rows: x[rows], state))
                for rows, columns in grid.tiles(masked)
            ]
            return jax.tree.map(lambda *parts: jnp.concatenate(parts), *tiles)

        empty = jnp.zeros_like(q_block)
        state = (empty[:, :1] - jnp.inf, empty[:, :1], empty)
        largest, total, out = grid.over_columns(row, key_block, state)
        safe = jnp.where(total == 0, 1, total)
        log_sum = jnp.where(total == 0, jnp.inf, largest + jnp.log(safe))  # weights of exp(-inf) = 0 in the gradient
        outs, log_sums = written
        return outs.at[row].set((out / safe).astype(outs.dtype)), log_sums.at[row].set(log_sum)

    unwritten = jnp.zeros_like(q), jnp.zeros(q[..., :1].shape, wide(q).dtype)
    out, log_sum = jax.lax.fori_loop(0, grid.num_rows, query_block, unwritten)
    return grid.from_rows(out), grid.from_rows(log_sum)


def _backward(grid: "_Grid", queries: Any, keys: Any, values: Any, g: Any, log_sum: Any, delta: Any) -> Any:
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
            dq_parts = []
            for rows, columns in grid.tiles(masked):
                k_tile, v_tile = wide(k[column, columns]), wide(v[column, columns])
                scores = q_block[rows] @ k_tile.T
                if masked:
                    scores = jnp.where(grid.visible(rows, columns, row, column), scores, -jnp.inf)
                weights = jnp.exp(scores - total[rows])
                dscores = weights * (g_block[rows] @ v_tile.T - correction[rows])
                dq_parts.append(dscores @ k_tile)
                dk = dk.at[column, :, columns].add(q_across[:, rows] @ dscores)
                dv = dv.at[column, :, columns].add(g_across[:, rows] @ weights)
            return dq_block + jnp.concatenate(dq_parts), dk, dv

        dq, dk, dv = gradients
        dq_block, dk, dv = grid.over_columns(row, key_block, (jnp.zeros_like(q_block), dk, dv))
        return dq.at[row].set((dq_block * scale).astype(dq.dtype)), dk, dv

    across = jnp.zeros((*k.shape[:-2], k.shape[-1], k.shape[-2]), wide(k).dtype)
    dq, dk, dv = jax.lax.fori_loop(0, grid.num_rows, query_block, (jnp.zeros_like(q), across, across))
    dk, dv = (grid.from_columns(x.mT) for x in (dk, dv))
    return grid.from_rows(dq), dk.astype(keys.dtype), dv.astype(values.dtype)


class _Grid:
    """How T queries of a few heads and S keys fall into blocks, and which blocks see each other."""

    def __init__(self, T: int, S: int, num_heads: int, causal: bool, window: int | None, block: int):
        self.T, self.S, self.num_heads, self.causal, self.window = T, S, num_heads, causal, window
        self.row_size, self.column_size = min(block, T), min(block, S)
        self.num_rows, self.num_columns = -(-T // self.row_size), -(-S // self.column_size)
        squares = self.row_size == self.column_size and (S - T) % self.column_size == 0
        self.on_diagonal = squares and causal and window is None

    def rows(self, x: Any, fill: float = 0.0) -> Any:
        """(G, T, X) as blocks (num_rows, R, X), each query's heads side by side, the last block filled up."""
        x = _pad(x, self.num_rows * self.row_size, fill)
        blocks = x.reshape(x.shape[0], self.num_rows, self.row_size, x.shape[-1])
        return jnp.moveaxis(blocks, 0, 2).reshape(self.num_rows, -1, x.shape[-1])

    def from_rows(self, blocks: Any) -> Any:
        """What `rows` was given."""
        x = blocks.reshape(self.num_rows * self.row_size, self.num_heads, blocks.shape[-1])
        return jnp.moveaxis(x, 1, 0)[:, : self.T]

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
        first: Any = self.S - self.T + row * self.row_size if self.causal else self.S - 1
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

        All of it; where the diagonal cuts the pair from corner to corner, not the quarter above it.
        """
        half = self.row_size // 2
        everything = slice(None)
        if not (masked and self.on_diagonal and half):
            return [(everything, everything)]
        middle = half * self.num_heads
        return [(slice(0, middle), slice(0, half)), (slice(middle, None), everything)]

    def visible(self, rows: slice, columns: slice, row: Any, column: Any) -> Any:
        """Which of a tile's queries may look at which of its keys."""
        key_position = column * self.column_size + jnp.arange(self.column_size)[columns]
        visible = key_position < self.S
        if self.causal:
            of_rows = jnp.repeat(jnp.arange(self.row_size), self.num_heads)[rows, None]
            query_position = self.S - self.T + row * self.row_size + of_rows
            visible = visible & (key_position <= query_position)
            if self.window is not None:
                visible &= key_position > query_position - self.window
        return visible


def _pad(x: Any, length: int, fill: float) -> Any:
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, length - x.shape[-2]), (0, 0)], constant_values=fill)
