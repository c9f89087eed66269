"""Flash attention as one kernel for a TPU: the scores never leave the chip's fast memory.

The grid goes over heads, blocks of queries, and blocks of keys, the last of these fastest. For one block of queries
the running maximum, sum and output of `minillm.attention.flash` stay in scratch memory while block after
block of keys comes by; after the last one the output is written. Blocks that lie wholly in the future are skipped.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from minillm.attention.fast.flash import flash_blocks
from minillm.attention.shared import check_blocks
from minillm.axes import Key, Query, Value, checked
from minillm.errors import InputError

_LANES = 128  # a TPU register is 8 x 128 numbers; the maximum and the sum of a query fill a row of one


@partial(jax.jit, static_argnames=("causal", "block", "interpret"))
@checked
def flash_attention(
    query: Query, key: Key, value: Value, causal: bool = True, block: int = 512, interpret: bool = False
) -> Query:
    """As `minillm.attention.flash_jax`, for (B, T, N, H) whose T and S are multiples of the block used.

    `interpret` runs the kernel's steps as ordinary operations, on any device. The gradient is the blockwise one.
    """
    return _flash(query, key, value, causal, block, interpret)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _flash(query: Query, key: Key, value: Value, causal: bool, block: int, interpret: bool) -> Query:
    B, T, N, H = query.shape
    S, K = key.shape[1:3]
    check_blocks(T, S, N, K, causal, None, block)
    rows, columns = min(block, T), min(block, S)
    if T % rows or S % columns:
        raise InputError(f"flash_attention: {T} queries or {S} keys are no multiple of the block {block}.")
    q, k, v = (jnp.moveaxis(x, 2, 1).reshape(-1, x.shape[1], H) for x in (query, key, value))
    out = pl.pallas_call(
        partial(_kernel, offset=S - T, causal=causal),
        grid=(B * N, T // rows, S // columns),
        in_specs=[
            pl.BlockSpec((1, rows, H), lambda head, i, j: (head, i, 0)),
            # N/K query heads in a row read the same key head: grouped queries cost no copies.
            pl.BlockSpec((1, columns, H), lambda head, i, j: (jax.lax.div(head, N // K), j, 0)),
            pl.BlockSpec((1, columns, H), lambda head, i, j: (jax.lax.div(head, N // K), j, 0)),
        ],
        out_specs=pl.BlockSpec((1, rows, H), lambda head, i, j: (head, i, 0)),
        out_shape=jax.ShapeDtypeStruct(q.shape, q.dtype),
        scratch_shapes=[pltpu.VMEM((rows, size), jnp.float32) for size in (_LANES, _LANES, H)],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "parallel", "arbitrary")),
        interpret=interpret,
    )(q, k, v)
    return jnp.moveaxis(out.reshape(B, N, T, H), 1, 2)


def _kernel(
    q_ref: Any, k_ref: Any, v_ref: Any, out_ref: Any, largest: Any, total: Any, out: Any, *, offset: int, causal: bool
) -> None:
    i, j = pl.program_id(1), pl.program_id(2)
    rows, columns = q_ref.shape[1], k_ref.shape[1]

    @pl.when(j == 0)
    def _() -> None:
        largest[...] = jnp.full_like(largest, -jnp.inf)
        total[...] = jnp.zeros_like(total)
        out[...] = jnp.zeros_like(out)

    @pl.when((not causal) | (j * columns <= offset + (i + 1) * rows - 1))
    def _() -> None:
        q, k, v = (ref[0].astype(jnp.float32) for ref in (q_ref, k_ref, v_ref))
        scores = jax.lax.dot_general(q, k, (((1,), (1,)), ((), ()))) * q.shape[-1] ** -0.5
        if causal:
            query_position = offset + i * rows + jax.lax.broadcasted_iota(jnp.int32, (rows, columns), 0)
            key_position = j * columns + jax.lax.broadcasted_iota(jnp.int32, (rows, columns), 1)
            scores = jnp.where(key_position <= query_position, scores, -jnp.inf)
        before = largest[:, :1]
        # Key 0 comes in the first block, and every query sees it: the maximum is finite from there on.
        new_largest = jnp.maximum(before, jnp.max(scores, axis=1, keepdims=True))
        shrink, powers = jnp.exp(before - new_largest), jnp.exp(scores - new_largest)
        total[...] = total[...] * shrink + jnp.sum(powers, axis=1, keepdims=True)
        out[...] = out[...] * shrink + jnp.dot(powers, v)
        largest[...] = jnp.broadcast_to(new_largest, largest.shape)

    @pl.when(j == pl.num_programs(2) - 1)
    def _() -> None:
        out_ref[0] = (out[...] / total[:, :1]).astype(out_ref.dtype)


def _forward(query: Query, key: Key, value: Value, causal: bool, block: int, interpret: bool) -> Any:
    return _flash(query, key, value, causal, block, interpret), (query, key, value)


def _backward(causal: bool, block: int, interpret: bool, saved: Any, g: Query) -> Any:
    _, vjp = jax.vjp(lambda *arrays: flash_blocks(*arrays, causal=causal, block=block), *saved)
    return vjp(g)


_flash.defvjp(_forward, _backward)
