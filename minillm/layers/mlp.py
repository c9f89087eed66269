"""The feed-forward layer: each token, by itself, through a wider space and back.

    mlp(x)    = activation(x W_up + b_up) W_down + b_down    [Vaswani2017], eq. 2; there ReLU
    swiglu(x) = (silu(x W_gate) * (x W_up)) W_down           [Shazeer2020], eq. 6

In Shazeer's letters W_gate is W, W_up is V, W_down is W_2. The gate decides, coordinate by coordinate,
how much of the up projection passes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np  # noqa: F401  for the examples
from jaxtyping import Float

from minillm.axes import checked
from minillm.layers.activations import gelu, silu
from minillm.layers.linear import linear
from minillm.layers.shared import Vectors


@checked
def mlp(
    x: Vectors,
    up: Float[Any, "D F"],
    down: Float[Any, "F D"],
    up_bias: Float[Any, "F"] | None = None,
    down_bias: Float[Any, "D"] | None = None,
    activation: Callable[[Any], Any] = gelu,
) -> Vectors:
    """Widen, bend, narrow.

    >>> mlp(np.array([1.0, -1.0]), np.eye(2), np.eye(2)).round(4)
    array([ 0.8413, -0.1587])
    """
    wide = linear(x, up)
    if up_bias is not None:
        wide = wide + up_bias
    narrow = linear(activation(wide), down)
    return narrow if down_bias is None else narrow + down_bias


@checked
def swiglu(x: Vectors, gate: Float[Any, "D F"], up: Float[Any, "D F"], down: Float[Any, "F D"]) -> Vectors:
    """Widen twice, let one gate the other, narrow.

    >>> swiglu(np.array([1.0, -1.0]), np.eye(2), np.eye(2), np.eye(2)).round(4)
    array([0.7311, 0.2689])
    """
    return linear(silu(linear(x, gate)) * linear(x, up), down)
