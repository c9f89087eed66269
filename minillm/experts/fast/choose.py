"""The layer of experts in the form that is fastest here: what training, prefill, scoring and generation call.

Over several devices tokens travel to their experts (`expert_parallel`). On one, experts with a capacity work on buffers
of that size (`buffers`), and those without on just the rows that they got (`grouped`): by a kernel on an NVIDIA GPU, by
one operation on a TPU, chunk by chunk on a CPU.
"""

import math
from functools import partial

import jax
from jax.sharding import Mesh

from minillm.axes import checked, is_traced
from minillm.config import MoEConfig
from minillm.errors import InputError
from minillm.experts import moe_jax
from minillm.experts.fast.buffers import buffered
from minillm.experts.fast.expert_parallel import expert_parallel_moe
from minillm.experts.fast.grouped import dropless
from minillm.experts.shared import (
    Experts,
    Gates,
    Kept,
    Noise,
    Params,
    Rows,
    VectorMask,
    Vectors,
    Weights,
    check_chosen,
    check_weights,
)


@checked
def moe(
    x: Vectors,
    params: Params,
    config: MoEConfig,
    token_mask: VectorMask | None = None,
    noise: Noise | None = None,
    mesh: Mesh | None = None,
) -> Vectors:
    """`minillm.experts.moe_jax.moe`; the axis "expert" of `mesh` spreads the experts over several devices."""
    if mesh is None or mesh.shape["expert"] == 1:
        capacity = config.capacity(math.prod(x.shape[:-1]))
        return moe_jax.moe(x, params, config, token_mask, noise, partial(mixture, capacity=capacity))
    if noise is not None:
        raise InputError("moe: experts on several devices take no noise; leave it out, or the mesh.")
    mask = None if token_mask is None else token_mask.reshape(-1)
    return expert_parallel_moe(x.reshape(-1, x.shape[-1]), params, config, mesh, mask).reshape(x.shape)


@checked
def mixture(x: Rows, gates: Gates, experts: Experts, kept: Kept, weights: Weights, capacity: int | None = None) -> Rows:
    """`minillm.experts.mixture_jax.mixture`. A `capacity` promises that no expert has more kept choices."""
    check_weights(weights, x.shape[-1])
    if not is_traced(experts):
        check_chosen(experts, len(weights["down"]))
    return _mixture(x, gates, experts, kept, weights, capacity)


@partial(jax.jit, static_argnames="capacity")
def _mixture(x: Rows, gates: Gates, experts: Experts, kept: Kept, weights: Weights, capacity: int | None) -> Rows:
    if x.size == 0:
        return x
    if capacity is not None:
        return buffered(x, gates, experts, kept, weights, capacity)
    return dropless(x, gates, experts, kept, weights)
