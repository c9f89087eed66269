"""Linear layers in JAX. What differs: a weight may be anything that multiplies, and a lookup cannot raise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from minillm.axes import Hidden, Tokens, checked
from minillm.layers.shared import Inputs, Outputs, Table

Weight = Any  # a matrix (d_in, d_out), or what multiplies in its place: it has `__rmatmul__`, `shape` and `dtype`


def linear(x: Inputs, weight: Weight) -> Outputs:
    """As the reference."""
    if isinstance(weight, jax.Array | np.ndarray):
        # One long row of vectors: with more axes, XLA:CPU copies both factors of the weight's gradient.
        return (x.reshape(-1, x.shape[-1]) @ weight).reshape(*x.shape[:-1], weight.shape[-1])
    return jnp.asarray(x) @ weight


@checked
def embedding(table: Table, tokens: Tokens) -> Hidden:
    """Differs: a token without a row gives NaN."""
    return jnp.asarray(table).at[tokens].get(mode="fill", fill_value=jnp.nan)
