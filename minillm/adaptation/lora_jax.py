"""LoRA in JAX.

What differs: W is frozen by `stop_gradient`, and the form that runs without dropout keeps x alone for the gradient
(`fast.frozen`).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from minillm.adaptation.fast import frozen
from minillm.adaptation.shared import FactorA, FactorB, Inputs, Keep, Matrix, Outputs, check_chosen
from minillm.axes import checked, wide
from minillm.forms import faster
from minillm.parameters import Adapter, Params, check_adapter, leaf_at, replace_leaves


@checked
@faster(frozen.lora_linear, when=frozen.without_dropout)
def lora_linear(
    x: Inputs,
    weight: Matrix,
    lora_a: FactorA,
    lora_b: FactorB,
    scale: float = 1.0,
    keep: Keep | None = None,
    dropout: float = 0.0,
) -> Outputs:
    """As the reference."""
    dropped = x if keep is None else jnp.where(keep, x / (1 - dropout), 0).astype(x.dtype)
    inner = dropped @ lora_a
    return x @ jax.lax.stop_gradient(weight) + jnp.asarray(scale, inner.dtype) * inner @ lora_b


@checked
def lora_linear_by_row(
    x: Float[Any, "B T d_in"],
    weight: Matrix,
    lora_a: Float[Any, "adapters d_in R"],
    lora_b: Float[Any, "adapters R d_out"],
    scale: Float[Any, "adapters"],
    chosen: Int[Any, "B"],
) -> Float[Any, "B T d_out"]:
    """As the reference, all rows at once; inside `jit` an adapter that is not there is none."""
    check_chosen(chosen, len(lora_a))
    return _lora_linear_by_row(x, weight, lora_a, lora_b, scale, chosen)


@jax.jit
def _lora_linear_by_row(x: Any, weight: Any, lora_a: Any, lora_b: Any, scale: Any, chosen: Any) -> Any:
    there = (chosen >= 0) & (chosen < len(lora_a))
    own = jnp.where(there, chosen, 0)
    factor = jnp.where(there, scale[own], 0).astype(x.dtype)
    inner = factor[:, None, None] * jnp.einsum("btd,bdr->btr", x, lora_a[own])
    return x @ weight + jnp.einsum("btr,bro->bto", inner, lora_b[own])


@jax.jit
@checked
def lora_delta(lora_a: FactorA, lora_b: FactorB, scale: float = 1.0) -> Matrix:
    """As the reference."""
    return (jnp.asarray(scale, wide(lora_a).dtype) * (wide(lora_a) @ wide(lora_b))).astype(lora_a.dtype)


# On a model's parameter tree


def merge_lora(params: Params, adapter: Adapter, scale: float) -> Params:
    """As the reference."""
    check_adapter(params, adapter)
    return replace_leaves(
        params, {path: leaf_at(params, path) + lora_delta(**pair, scale=scale) for path, pair in adapter.items()}
    )


def unmerge_lora(params: Params, adapter: Adapter, scale: float) -> Params:
    """As the reference."""
    return merge_lora(params, adapter, -scale)
