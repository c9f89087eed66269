"""LoRA's layer with less to remember: only x is kept for the gradient, and x A is computed again.

W is frozen: no gradient of it is computed, and as a matrix times a matrix, all vectors in one row, XLA:CPU copies no
factor of the adapter's gradients.
"""

from typing import Any

import jax
import jax.numpy as jnp

from minillm.adaptation.shared import FactorA, FactorB, Inputs, Keep, Matrix, Outputs


def without_dropout(
    x: Inputs,
    weight: Matrix,
    lora_a: FactorA,
    lora_b: FactorB,
    scale: float = 1.0,
    keep: Keep | None = None,
    dropout: float = 0.0,
) -> bool:
    """Where `lora_linear` below is the faster: with dropout its masks would have to be kept as well.

    >>> import numpy as np
    >>> one = np.ones((1, 1))
    >>> without_dropout(one, one, one, one)
    True
    """
    return keep is None


def lora_linear(x: Inputs, weight: Matrix, lora_a: FactorA, lora_b: FactorB, scale: Any = 1.0, *_: Any) -> Outputs:
    """As the plain form without dropout."""
    return _lora_linear(x, weight, lora_a, lora_b, jnp.asarray(scale, x.dtype))


@jax.custom_vjp
@jax.jit
def _lora_linear(x: Inputs, weight: Matrix, lora_a: FactorA, lora_b: FactorB, scale: Any) -> Outputs:
    rows = x.reshape(-1, x.shape[-1])
    return (rows @ weight + (scale * (rows @ lora_a)) @ lora_b).reshape(*x.shape[:-1], -1)


def _forward(x: Inputs, weight: Matrix, lora_a: FactorA, lora_b: FactorB, scale: Any) -> tuple[Outputs, Any]:
    return _lora_linear(x, weight, lora_a, lora_b, scale), (x, weight, lora_a, lora_b, scale)


def _backward(saved: Any, g: Outputs) -> tuple[Any, ...]:
    """As `lora_linear_vjp`; x A is computed again, which costs less than to keep it."""
    x, weight, lora_a, lora_b, scale = saved
    rows, upstream = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
    thin = scale * (upstream @ lora_b.T)
    dx = upstream @ weight.T + thin @ lora_a.T
    dlora_a, dlora_b = rows.T @ thin, (scale * (rows @ lora_a)).T @ upstream
    return dx.reshape(x.shape), None, dlora_a, dlora_b, None


_lora_linear.defvjp(_forward, _backward)
