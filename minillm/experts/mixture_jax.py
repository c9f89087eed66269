"""Experts in JAX: `minillm.experts.mixture`.

What differs: shapes may not depend on who was sent where, so each expert works on all tokens, those of the others
replaced by 0, which an expert maps to 0. That costs E experts for every token; the forms that cost k are in
`minillm.experts.fast`, and `fast.choose.mixture` takes the fastest.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from minillm.axes import checked, is_traced, wide
from minillm.experts.shared import Experts, Gates, Kept, Rows, Weights, check_chosen, check_weights
from minillm.layers.fast.mlp import swiglu
from minillm.layers.mlp_jax import mlp


@checked
def mixture(x: Rows, gates: Gates, experts: Experts, kept: Kept, weights: Weights) -> Rows:
    """As the reference; inside `jit`, the choice of an expert that is not there counts as not kept."""
    E = len(weights["down"])
    check_weights(weights, x.shape[-1])
    if not is_traced(experts):
        check_chosen(experts, E)
    out = jnp.zeros_like(wide(x))
    for index in range(E):
        sent = kept & (experts == index)
        tokens, gate = sent.any(-1, keepdims=True), jnp.sum(jnp.where(sent, gates, 0), axis=-1, keepdims=True)
        worked = feed_forward(jnp.where(tokens, x, 0), expert_of(weights, index))
        out += gate.astype(out.dtype) * wide(worked)
    return out.astype(x.dtype)


@jax.jit
@checked
def feed_forward(x: Float[Any, "*batch D"], weights: Weights) -> Float[Any, "*batch D"]:
    """As the reference."""
    return swiglu(x, **weights) if "gate" in weights else mlp(x, **weights)


def expert_of(weights: Weights, index: int) -> Weights:
    """As the reference."""
    return {name: weight[index] for name, weight in weights.items()}
