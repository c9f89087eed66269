"""Experts without a capacity: each works on just the rows that it got, however many those are.

The rows that an expert got are stored together, and one product is made of them and its weights. So the time grows with
the choices that were made, not with the number of experts, and nothing is dropped [Gale2022]. A TPU does this in
one operation, `jax.lax.ragged_dot`, and an NVIDIA GPU in one kernel of ours, as there that operation multiplies every
row by the weights of all experts. A CPU takes for it as long as for ten dense products; there a loop goes over the
experts. A compiled product has a fixed number of rows, so an expert's rows are cut into chunks of a few sizes, and
each size has a loop of its own (`minillm.experts.fast.row_layout`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from minillm.axes import wide
from minillm.devices import stands_undivided
from minillm.experts.fast.grouped_matmul_pallas import grouped_matmul
from minillm.experts.fast.row_layout import chunked, in_order
from minillm.experts.shared import Experts, Gates, Kept, Rows, Weights
from minillm.layers.activations_jax import gelu, silu

Product = Callable[[Any, Any], Any]  # of rows and weights


@jax.custom_vjp
def dropless(x: Rows, gates: Gates, experts: Experts, kept: Kept, weights: Weights) -> Rows:
    """`minillm.experts.mixture.mixture`, in time that grows with the choices that are kept."""
    return _forward(x, gates, experts, kept, weights)[0]


def _forward(x: Rows, gates: Gates, experts: Experts, kept: Kept, weights: Weights) -> Any:
    arguments = (x, gates, experts, kept, weights)
    at_once = {name: partial(forward_at_once, grouped) for name, grouped in _grouped_products(x.dtype).items()}
    out, widened = jax.lax.platform_dependent(*arguments, cpu=_forward_by_chunks, **at_once)
    return out, (*arguments, widened)


def _backward(saved: Any, g: Rows) -> Any:
    at_once = {name: partial(backward_at_once, grouped) for name, grouped in _grouped_products(g.dtype).items()}
    dx, dgates, dweights = jax.lax.platform_dependent(*saved, g, cpu=_backward_by_chunks, **at_once)
    return dx, dgates, None, None, dweights


dropless.defvjp(_forward, _backward)


# One expert's rows, or those of all: it depends on what `product` makes of rows and weights.


def _expert(product: Product, rows: Any, weights: Weights) -> tuple[Any, dict[str, Any]]:
    """The output of each row, and what the backward pass needs: the rows widened, before the activation."""
    widened: dict[str, Any] = {name: product(rows, weights[name]) for name in ("gate", "up") if name in weights}
    return product(_activation(widened), weights["down"]), widened


def _expert_backward(
    product: Product, rows: Any, widened: dict[str, Any], gates: Any, g: Any, weights: Weights
) -> tuple[Any, Any, Weights]:
    """Gradients by the rows, by their gates, and by the weights.

    With y = h W_down the gate's gradient g . y is (g W_down^T) . h, so y itself is not needed.
    """
    hidden, activation_back = jax.vjp(_activation, widened)
    scale = gates.astype(hidden.dtype)[:, None]
    dhidden, ddown = jax.vjp(product, hidden * scale, weights["down"])[1](g)
    dgates = jnp.sum(wide(hidden) * wide(dhidden), axis=-1)
    drows, dweights = jnp.zeros_like(rows), {"down": ddown}
    for name, dwidened in activation_back(dhidden * scale)[0].items():
        part, dweights[name] = jax.vjp(product, rows, weights[name])[1](dwidened)
        drows = drows + part
    return drows, dgates, dweights


def _activation(widened: dict[str, Any]) -> Any:
    return silu(widened["gate"]) * widened["up"] if "gate" in widened else gelu(widened["up"])


# All experts at once, on a GPU or TPU.


def _grouped_products(dtype: Any) -> dict[str, Callable[..., Any]]:
    """What multiplies rows and the weights of their experts, by platform: our kernel where it can run."""
    kernel = {"cuda": grouped_matmul} if dtype.itemsize <= 4 and stands_undivided("cuda") else {}
    return {**kernel, "default": jax.lax.ragged_dot}


def forward_at_once(
    grouped: Callable[..., Any], x: Rows, gates: Gates, experts: Experts, kept: Kept, weights: Weights
) -> Any:
    """The output, and what the backward pass needs; `grouped` multiplies rows in order, weights, loads."""
    layout, loads = in_order(experts, kept, len(weights["down"]))
    y, widened = _expert(lambda rows, weight: grouped(rows, weight, loads), layout.rows_of(x), weights)
    return layout.gated_sum_of(y, gates, x.dtype), widened


def backward_at_once(
    grouped: Callable[..., Any],
    x: Rows,
    gates: Gates,
    experts: Experts,
    kept: Kept,
    weights: Weights,
    widened: dict[str, Any],
    g: Rows,
) -> Any:
    """Gradients by x, gates and weights."""
    layout, loads = in_order(experts, kept, len(weights["down"]))
    rows, g_rows, gate_rows = layout.rows_of(x), layout.rows_of(g), layout.gates_of(gates)
    used = (layout.token < len(x))[:, None]  # a grouped product may leave anything in rows of no expert
    widened = {name: jnp.where(used, each, 0) for name, each in widened.items()}
    drows, dgates, dweights = _expert_backward(
        lambda rows, weight: grouped(rows, weight, loads), rows, widened, gate_rows, g_rows, weights
    )
    return layout.sum_of(drows, x.dtype), layout.choices_of(dgates).astype(gates.dtype), dweights


# Chunk by chunk, on a CPU.


def _forward_by_chunks(x: Rows, gates: Gates, experts: Experts, kept: Kept, weights: Weights) -> Any:
    layout, chunks = chunked(experts, kept, len(weights["down"]))
    rows, F = layout.rows_of(x), weights["down"].shape[1]

    def chunk(size: int, expert: Any, first: Any, _: Any, written: Any) -> Any:
        y, widened = written
        own, own_widened = _expert(jnp.matmul, _cut(rows, first, size), _of(weights, expert))
        return _put(y, own, first), {name: _put(widened[name], own_widened[name], first) for name in widened}

    unwritten = jnp.zeros((len(rows), F), x.dtype)
    widened = {name: unwritten for name in ("gate", "up") if name in weights}
    y, widened = chunks.each(chunk, (jnp.zeros_like(rows), widened))
    return layout.gated_sum_of(y, gates, x.dtype), widened


def _backward_by_chunks(
    x: Rows, gates: Gates, experts: Experts, kept: Kept, weights: Weights, widened: dict[str, Any], g: Rows
) -> Any:
    layout, chunks = chunked(experts, kept, len(weights["down"]))
    rows, g_rows, gate_rows = layout.rows_of(x), layout.rows_of(g), layout.gates_of(gates)

    def chunk(size: int, expert: Any, first: Any, length: Any, written: Any) -> Any:
        drows, dgates, dweights = written
        row, wide_row, g_row = (_cut(each, first, size) for each in (rows, widened, g_rows))
        gate = jnp.where(
            jnp.arange(size, dtype=jnp.int32) < length, _cut(gate_rows, first, size), 0
        )  # rows behind are another's
        drow, dgate, dweight = _expert_backward(jnp.matmul, row, wide_row, gate, g_row, _of(weights, expert))
        dweights = {name: dweights[name].at[expert].add(dweight[name]) for name in dweights}
        return _put(drows, drow, first), _put(dgates, dgate, first), dweights

    nothing = jax.tree.map(jnp.zeros_like, (rows, wide(gate_rows), weights))
    drows, dgates, dweights = chunks.each(chunk, nothing)
    return layout.sum_of(drows, x.dtype), layout.choices_of(dgates).astype(gates.dtype), dweights


def _cut(tree: Any, first: Any, size: int) -> Any:
    return jax.tree.map(lambda rows: jax.lax.dynamic_slice_in_dim(rows, first, size), tree)


def _put(rows: Any, chunk: Any, first: Any) -> Any:
    return jax.lax.dynamic_update_slice_in_dim(rows, chunk.astype(rows.dtype), first, 0)


def _of(weights: Weights, expert: Any) -> Weights:
    return {name: jax.lax.dynamic_index_in_dim(weight, expert, keepdims=False) for name, weight in weights.items()}
