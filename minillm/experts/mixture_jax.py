"""Experts, jitted: `minillm.experts.mixture` for CPU, GPU and TPU, in two forms.

Without a capacity each expert works on the rows that it got (`minillm.experts.fast.grouped`). With one, each has a room
of so many rows, filled or not: fixed shapes, one batched product for all experts, and time that grows with the room.
"""

from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from minillm.axes import checked
from minillm.errors import InputError
from minillm.experts.fast.grouped import dropless
from minillm.experts.fast.row_layout import in_rooms
from minillm.layers.fast.mlp import swiglu
from minillm.layers.mlp_jax import mlp

Weights = dict[str, Any]
Vectors = Float[Any, "T D"]
Gates = Float[Any, "T k"]
Experts = Int[Any, "T k"]
Kept = Bool[Any, "T k"]


@checked
def mixture(
    x: Vectors, gates: Gates, experts: Experts, kept: Kept, weights: Weights, capacity: int | None = None
) -> Vectors:
    """As the reference. A `capacity` promises that no expert has more kept choices; any beyond it are lost."""
    check_experts(weights, x.shape[-1], experts)
    return _mixture(x, gates, experts, kept, weights, capacity)


@partial(jax.jit, static_argnames="capacity")
def _mixture(x: Vectors, gates: Gates, experts: Experts, kept: Kept, weights: Weights, capacity: int | None) -> Vectors:
    if x.size == 0:
        return x
    if capacity is None:
        return dropless(x, gates, experts, kept, weights)
    E = len(weights["down"])
    layout = in_rooms(experts, kept, E, capacity)
    rooms = layout.rows_of(x).reshape(E, capacity, -1)
    y = jax.vmap(feed_forward)(rooms, weights)
    return layout.gated_sum_of(y.reshape(E * capacity, -1), gates, x.dtype)


@jax.jit
@checked
def feed_forward(x: Float[Any, "*batch D"], weights: Weights) -> Float[Any, "*batch D"]:
    """As the reference."""
    return swiglu(x, **weights) if "gate" in weights else mlp(x, **weights)


def check_experts(weights: Weights, model_dim: int, experts: Experts) -> None:
    """As the reference, where the choices are known; inside `jit` one of an expert that is not there is lost."""
    E, _, F = weights["up"].shape
    for name, weight in weights.items():
        expected = (E, F, model_dim) if name == "down" else (E, model_dim, F)
        if weight.shape != expected:
            raise InputError(
                f"mixture: {name} has shape {weight.shape}, but {E} experts from {model_dim} to {F} and back "
                f"need {expected}."
            )
    if isinstance(experts, jax.core.Tracer) or not experts.size:
        return
    lowest, highest = np.min(experts), np.max(experts)
    if lowest < 0 or highest >= E:
        raise InputError(f"mixture: experts are chosen from {lowest} to {highest}; there are {E}, from 0.")
