"""Flash attention, jitted: `minillm.reference.flash_attention` for CPU, GPU and TPU, with its gradient.

Forward and backward keep O(T): the backward pass computes the weights of a block again from the scores and
each query's log-sum L. With p = exp(s - L) and delta = sum_h g o,

    dv = p^T g,    ds = p (g v^T - delta),    dq = ds k scale,    dk = ds^T q scale        (Dao et al. 2022, B.4)
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from minillm.axes import Key, Query, Value, checked, wide
from minillm.errors import InputError

Grouped = Float[Any, "*batch K G T H"]


@partial(jax.jit, static_argnames=("causal", "window", "block"))
@checked
def flash_attention(
    query: Query, key: Key, value: Value, causal: bool = True, window: int | None = None, block: int = 256
) -> Query:
    """As the reference."""
    T, N, H = query.shape[-3:]
    S, K = key.shape[-3:-1]
    check_blocks(T, S, N, K, causal, window, block)
    queries = jnp.moveaxis(query, -3, -2).reshape(*query.shape[:-3], K, N // K, T, H)
    keys, values = jnp.moveaxis(key, -3, -2), jnp.moveaxis(value, -3, -2)
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
def _flash(queries: Grouped, keys: Any, values: Any, causal: bool, window: int | None, block: int) -> Grouped:
    return _forward(queries, keys, values, causal, window, block)[0]


def _flash_forward(queries: Grouped, keys: Any, values: Any, causal: bool, window: int | None, block: int) -> Any:
    out, log_sum = _forward(queries, keys, values, causal, window, block)
    return out, (queries, keys, values, out, log_sum)


def _forward(queries: Grouped, keys: Any, values: Any, causal: bool, window: int | None, block: int) -> Any:
    """Output and log-sum-exp (with an axis of one behind) of every query."""
    grid = _Grid(queries.shape[-2], keys.shape[-2], causal, window, block)
    q, k, v = grid.pad_rows(queries), grid.pad_columns(keys), grid.pad_columns(values)

    def query_block(row: Any, written: Any) -> Any:
        q_block = grid.row(q, row)

        def key_block(column: Any, state: Any) -> Any:
            largest, total, out = state
            scores = grid.scores(q_block, grid.column(k, column), row, column)
            new_largest = jnp.maximum(largest, jnp.max(scores, axis=-1, keepdims=True))
            reachable = jnp.where(jnp.isneginf(new_largest), 0, new_largest)
            shrink, powers = jnp.exp(largest - reachable), jnp.exp(scores - reachable)
            update = jnp.einsum("...kgts,...ksh->...kgth", powers, grid.column(v, column))
            return new_largest, total * shrink + jnp.sum(powers, axis=-1, keepdims=True), out * shrink + update

        empty = jnp.zeros_like(q_block)
        state = (empty[..., :1] - jnp.inf, empty[..., :1], empty)
        largest, total, out = jax.lax.fori_loop(*grid.columns(row), key_block, state)
        safe = jnp.where(total == 0, 1, total)
        log_sum = jnp.where(total == 0, jnp.inf, largest + jnp.log(safe))  # weights of exp(-inf) = 0 in the gradient
        return tuple(grid.put_row(x, row, y) for x, y in zip(written, (out / safe, log_sum), strict=True))

    unwritten = jnp.zeros_like(q), jnp.zeros(q[..., :1].shape, wide(q).dtype)
    out, log_sum = jax.lax.fori_loop(0, grid.rows, query_block, unwritten)
    return out[..., : grid.T, :], log_sum[..., : grid.T, :]


def _flash_backward(causal: bool, window: int | None, block: int, saved: Any, g: Grouped) -> Any:
    queries, keys, values, out, log_sum = saved
    grid = _Grid(queries.shape[-2], keys.shape[-2], causal, window, block)
    delta = grid.pad_rows(jnp.sum(wide(g) * wide(out), axis=-1, keepdims=True))
    q, g, log_sum = grid.pad_rows(queries), grid.pad_rows(g), grid.pad_rows(log_sum, jnp.inf)
    k, v = grid.pad_columns(keys), grid.pad_columns(values)

    def query_block(row: Any, gradients: Any) -> Any:
        q_block, g_block, total, correction = (grid.row(x, row) for x in (q, g, log_sum, delta))

        def key_block(column: Any, state: Any) -> Any:
            dq_block, dk, dv = state
            k_block, v_block = grid.column(k, column), grid.column(v, column)
            weights = jnp.exp(grid.scores(q_block, k_block, row, column) - total)
            dweights = jnp.einsum("...kgth,...ksh->...kgts", g_block, v_block)
            dscores = weights * (dweights - correction) * q.shape[-1] ** -0.5
            dq_block += jnp.einsum("...kgts,...ksh->...kgth", dscores, k_block)
            dk = grid.add_column(dk, column, jnp.einsum("...kgts,...kgth->...ksh", dscores, q_block))
            dv = grid.add_column(dv, column, jnp.einsum("...kgts,...kgth->...ksh", weights, g_block))
            return dq_block, dk, dv

        dq, dk, dv = gradients
        dq_block, dk, dv = jax.lax.fori_loop(*grid.columns(row), key_block, (jnp.zeros_like(q_block), dk, dv))
        return grid.put_row(dq, row, dq_block), dk, dv

    zeros = jnp.zeros_like(q), jnp.zeros(k.shape, wide(k).dtype), jnp.zeros(v.shape, wide(v).dtype)
    dq, dk, dv = jax.lax.fori_loop(0, grid.rows, query_block, zeros)
    S = keys.shape[-2]
    return dq[..., : grid.T, :], dk[..., :S, :].astype(keys.dtype), dv[..., :S, :].astype(values.dtype)


_flash.defvjp(_flash_forward, _flash_backward)


class _Grid:
    """How T queries and S keys fall into blocks, and which blocks see each other."""

    def __init__(self, T: int, S: int, causal: bool, window: int | None, block: int):
        self.T, self.S, self.causal, self.window = T, S, causal, window
        self.row_size, self.column_size = min(block, T), min(block, S)
        self.rows, self.all_columns = -(-T // self.row_size), -(-S // self.column_size)

    def pad_rows(self, x: Any, fill: float = 0.0) -> Any:
        """(..., T, X) to whole blocks of queries."""
        return _pad(x, self.rows * self.row_size, fill)

    def pad_columns(self, x: Any) -> Any:
        """(..., S, X) to whole blocks of keys."""
        return _pad(x, self.all_columns * self.column_size, 0.0)

    def row(self, x: Any, index: Any) -> Any:
        """A block of queries, or of what belongs to them."""
        return wide(jax.lax.dynamic_slice_in_dim(x, index * self.row_size, self.row_size, x.ndim - 2))

    def column(self, x: Any, index: Any) -> Any:
        """A block of keys or values."""
        return wide(jax.lax.dynamic_slice_in_dim(x, index * self.column_size, self.column_size, x.ndim - 2))

    def put_row(self, x: Any, index: Any, block: Any) -> Any:
        """`x` with a block of rows replaced."""
        return jax.lax.dynamic_update_slice_in_dim(x, block.astype(x.dtype), index * self.row_size, x.ndim - 2)

    def add_column(self, x: Any, index: Any, update: Any) -> Any:
        """`x` with `update` added to a block of columns."""
        total = self.column(x, index) + update
        return jax.lax.dynamic_update_slice_in_dim(x, total, index * self.column_size, x.ndim - 2)

    def columns(self, row: Any) -> tuple[Any, Any]:
        """The blocks of keys that a block of queries sees any of: from, and up to but without."""
        if not self.causal:
            return 0, self.all_columns
        first = self.S - self.T + row * self.row_size
        low = 0 if self.window is None else jnp.maximum(first - self.window + 1, 0) // self.column_size
        last = jnp.minimum(first + self.row_size, self.S) - 1
        return low, last // self.column_size + 1

    def scores(self, q: Any, k: Any, row: Any, column: Any) -> Any:
        """Scaled scores of a pair of blocks, minus infinity where a query may not look."""
        scores = jnp.einsum("...kgth,...ksh->...kgts", q, k) * q.shape[-1] ** -0.5
        key_position = column * self.column_size + jnp.arange(self.column_size)
        visible = key_position < self.S
        if self.causal:
            query_position = self.S - self.T + row * self.row_size + jnp.arange(self.row_size)[:, None]
            visible = visible & (key_position <= query_position)
            if self.window is not None:
                visible &= key_position > query_position - self.window
        return jnp.where(visible, scores, -jnp.inf)


def _pad(x: Any, length: int, fill: float) -> Any:
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, length - x.shape[-2]), (0, 0)], constant_values=fill)
