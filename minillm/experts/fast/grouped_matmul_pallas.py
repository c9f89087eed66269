"""The products of experts as one kernel for an NVIDIA GPU: each row with the weights of its own expert, and no others.

Rows are stored expert after expert, `loads[e]` of them for expert e, as `jax.lax.ragged_dot` takes them; but that
multiplies every row by the weights of all experts there. A program of ours makes one tile of the output: some rows of
one expert times some columns of its weights. A tile of rows that two experts share is visited for each, and each writes
its own rows. So the work is that of one dense product, and a few rows more for every expert.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Float, Int

Rows = Float[Any, "rows d_in"]
Products = Float[Any, "rows d_out"]
Weights = Float[Any, "E d_in d_out"]
Loads = Int[Any, "E"]

_COLUMNS = 128  # of a tile of the output, at most
_BYTES = 128  # of a row that are read at a time: 64 numbers in bfloat16
_LEAST, _MOST = 16, 128  # rows of a tile; the tensor cores multiply no less
_STAGES = 4  # reads that are under way while one is multiplied


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def grouped_matmul(rows: Rows, weights: Weights, loads: Loads, interpret: bool = False) -> Products:
    """Row by row `rows @ weights[expert of the row]`; rows behind those of the last expert may hold anything.

    Sums are kept in float32. `interpret` runs the kernel's steps as ordinary operations, on any device.
    """
    return _products(rows, weights, loads, False, interpret)


def _forward(rows: Rows, weights: Weights, loads: Loads, interpret: bool) -> Any:
    return _products(rows, weights, loads, False, interpret), (rows, weights, loads)


def _backward(interpret: bool, saved: Any, g: Products) -> Any:
    rows, weights, loads = saved
    return _products(g, weights, loads, True, interpret), _weight_gradients(rows, g, loads, interpret), None


grouped_matmul.defvjp(_forward, _backward)


def _products(rows: Any, weights: Weights, loads: Loads, transposed: bool, interpret: bool) -> Any:
    """Of rows and each expert's weights; or `transposed`, of rows and its weights' transpose."""
    size, step = _tile_rows(len(rows), len(loads)), _BYTES // rows.dtype.itemsize
    d_out = weights.shape[1 if transposed else 2]
    x, w = _filled(rows, size, step), _filled(weights, step, step)
    columns = _columns(w.shape[1 if transposed else 2])
    tile, expert, first, last = _visits(loads, len(x), size)

    def kernel(tile_ref: Any, expert_ref: Any, first_ref: Any, last_ref: Any, x_ref: Any, w_ref: Any, out: Any) -> None:
        visit, column = pl.program_id(1), pl.program_id(0)
        top, own = tile_ref[visit] * size, expert_ref[visit]
        across = pl.ds(column * columns, columns)

        def add(k: Any, total: Any) -> Any:
            inner = pl.ds(k * step, step)
            part = w_ref[own, across, inner] if transposed else w_ref[own, inner, across]
            return total + _dot(x_ref[pl.ds(top, size), inner], part, 1, 1 if transposed else 0)

        total = jax.lax.fori_loop(0, x.shape[1] // step, add, jnp.zeros((size, columns), jnp.float32))
        row = top + jax.lax.broadcasted_iota(jnp.int32, total.shape, 0)
        mine = (row >= first_ref[visit]) & (row < last_ref[visit])
        triton.store(out.at[pl.ds(top, size), across], total.astype(out.dtype), mask=mine)

    width = w.shape[1 if transposed else 2]
    shape, grid = jax.ShapeDtypeStruct((len(x), width), rows.dtype), (width // columns, len(tile))
    out = _call(kernel, shape, grid, size, interpret)(tile, expert, first, last, x, w)
    return out[: len(rows), :d_out]


def _weight_gradients(rows: Rows, g: Products, loads: Loads, interpret: bool) -> Weights:
    """For each expert the sum over its rows of row times upstream gradient; 0 for one without rows."""
    size, step = _tile_rows(len(rows), len(loads)), _BYTES // rows.dtype.itemsize
    size = min(size, 64)
    x, upstream = (jnp.pad(_filled(part, size, step), [(0, size), (0, 0)]) for part in (rows, g))
    down, across = _columns(x.shape[1]), _columns(upstream.shape[1])
    ends = jnp.cumsum(loads, dtype=jnp.int32)

    def kernel(end_ref: Any, load_ref: Any, x_ref: Any, g_ref: Any, out: Any) -> None:
        i, j, own = (pl.program_id(axis) for axis in range(3))
        first, last = end_ref[own] - load_ref[own], end_ref[own]

        def add(tile: Any, total: Any) -> Any:
            some = pl.ds(first + tile * size, size)
            mine = first + tile * size + jax.lax.broadcasted_iota(jnp.int32, (size, 1), 0) < last
            row = jnp.where(mine, x_ref[some, pl.ds(i * down, down)], 0)
            return total + _dot(row, jnp.where(mine, g_ref[some, pl.ds(j * across, across)], 0), 0, 0)

        tiles = pl.cdiv(last - first, size)
        total = jax.lax.fori_loop(0, tiles, add, jnp.zeros((down, across), jnp.float32))
        out[own, pl.ds(i * down, down), pl.ds(j * across, across)] = total.astype(out.dtype)

    shape = jax.ShapeDtypeStruct((len(loads), x.shape[1], upstream.shape[1]), rows.dtype)
    grid = x.shape[1] // down, upstream.shape[1] // across, len(loads)
    out = _call(kernel, shape, grid, size, interpret)(ends, loads.astype(jnp.int32), x, upstream)
    return out[:, : rows.shape[1], : g.shape[1]]


def _visits(loads: Loads, num_rows: int, size: int) -> tuple[Any, Any, Any, Any]:
    """For each visit its tile of rows, its expert, and which rows are that expert's: none in a visit too many."""
    ends = jnp.cumsum(loads, dtype=jnp.int32)
    starts = ends - loads.astype(jnp.int32)
    tiles = jnp.where(loads > 0, (ends - 1) // size - starts // size + 1, 0)
    visit_ends = jnp.cumsum(tiles, dtype=jnp.int32)
    visit = jnp.arange(num_rows // size + len(loads) - 1, dtype=jnp.int32)
    expert = jnp.sum(visit_ends <= visit[:, None], axis=1, dtype=jnp.int32)
    used, own = expert < len(loads), jnp.minimum(expert, len(loads) - 1)
    tile = jnp.where(used, starts[own] // size + visit - (visit_ends - tiles)[own], 0)
    return tile, own, jnp.where(used, starts[own], 0), jnp.where(used, ends[own], 0)


def _tile_rows(num_rows: int, num_experts: int) -> int:
    """A power of two, of which an expert's even load fills two or more, between 16 and 128."""
    size = _LEAST
    while size < _MOST and 4 * size * num_experts <= num_rows:
        size *= 2
    return size


def _columns(width: int) -> int:
    """The largest power of two that divides a width, up to that of a tile."""
    return min(_COLUMNS, width & -width)


def _filled(x: Any, rows: int, columns: int) -> Any:
    """Zeros behind, up to a multiple of so many rows and columns."""
    missing = [(0, -x.shape[-2] % rows), (0, -x.shape[-1] % columns)]
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + missing) if missing != [(0, 0)] * 2 else x


def _dot(a: Any, b: Any, a_axis: int, b_axis: int) -> Any:
    """The sum over an axis of each, in float32."""
    return jax.lax.dot_general(a, b, (((a_axis,), (b_axis,)), ((), ())), preferred_element_type=jnp.float32)


def _call(kernel: Any, shape: Any, grid: tuple[int, ...], size: int, interpret: bool) -> Any:
    """The kernel, with as many warps as a tile of `size` rows keeps busy."""
    params = None if interpret else triton.CompilerParams(num_warps=8 if size >= 128 else 4, num_stages=_STAGES)
    return pl.pallas_call(kernel, out_shape=shape, grid=grid, compiler_params=params, interpret=interpret)
