"""SwiGLU whose backward pass keeps the gate and the up projection, and nothing else of that size.

By itself JAX would keep the gate's sigmoid and its silu as well.
"""

from typing import Any

import jax
from jaxtyping import Float

from minillm.axes import checked
from minillm.layers.activations_jax import silu
from minillm.layers.linear_jax import linear
from minillm.layers.shared import Vectors


@jax.jit
@checked
def swiglu(x: Vectors, gate: Float[Any, "D F"], up: Float[Any, "D F"], down: Float[Any, "F D"]) -> Vectors:
    """As `minillm.layers.mlp_jax`."""
    return linear(_gated(linear(x, gate), linear(x, up)), down)


@jax.custom_vjp
def _gated(gate: Any, up: Any) -> Any:
    """silu(gate) * up."""
    return silu(gate) * up


def _forward(gate: Any, up: Any) -> Any:
    return _gated(gate, up), (gate, up)


def _backward(saved: Any, g: Any) -> Any:
    gate, up = saved
    sigmoid = jax.lax.logistic(gate)
    return g * up * sigmoid * (1 + gate * (1 - sigmoid)), g * gate * sigmoid


_gated.defvjp(_forward, _backward)
