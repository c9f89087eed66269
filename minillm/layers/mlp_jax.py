"""The feed-forward layer, jitted: `minillm.layers.mlp` for CPU, GPU and TPU."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jaxtyping import Float

from minillm.axes import checked
from minillm.layers.activations_jax import gelu, silu
from minillm.layers.linear_jax import linear

Vectors = Float[Any, "*batch D"]


@partial(jax.jit, static_argnames="activation")
@checked
def mlp(
    x: Vectors,
    up: Float[Any, "D F"],
    down: Float[Any, "F D"],
    up_bias: Float[Any, "F"] | None = None,
    down_bias: Float[Any, "D"] | None = None,
    activation: Callable[[Any], Any] = gelu,
) -> Vectors:
    """As the reference."""
    wide = linear(x, up)
    if up_bias is not None:
        wide = wide + up_bias
    narrow = linear(activation(wide), down)
    return narrow if down_bias is None else narrow + down_bias


@jax.jit
@checked
def swiglu(x: Vectors, gate: Float[Any, "D F"], up: Float[Any, "D F"], down: Float[Any, "F D"]) -> Vectors:
    """As the reference."""
    return linear(_gated(linear(x, gate), linear(x, up)), down)


@jax.custom_vjp
def _gated(gate: Any, up: Any) -> Any:
    """silu(gate) * up. By itself JAX would keep the gate's sigmoid and its silu for the backward pass as well."""
    return silu(gate) * up


def _gated_forward(gate: Any, up: Any) -> Any:
    return _gated(gate, up), (gate, up)


def _gated_backward(saved: Any, g: Any) -> Any:
    gate, up = saved
    open_share = jax.lax.logistic(gate)
    return g * up * open_share * (1 + gate * (1 - open_share)), g * gate * open_share


_gated.defvjp(_gated_forward, _gated_backward)
