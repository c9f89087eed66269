"""The gradient of the feed-forward layer, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.axes import checked
from minillm.layers.activations_vjp import gelu_vjp, silu_vjp
from minillm.layers.linear_vjp import linear_vjp
from minillm.layers.shared import Vectors


@checked
def mlp_vjp(
    x: Vectors,
    up: Float[Any, "D F"],
    down: Float[Any, "F D"],
    up_bias: Float[Any, "F"] | None = None,
    down_bias: Float[Any, "D"] | None = None,
    activation_vjp: Callable[[Any], Any] = gelu_vjp,
) -> tuple[Vectors, Callable[[Vectors], tuple[Any, ...]]]:
    """`mlp` and its gradient: its three steps, backwards. A bias is added to every token, so dbias sums over them.

    The gradient of a bias that is None is None.

    >>> mlp_vjp(np.array([1.0, -1.0]), np.eye(2), np.eye(2))[1](np.ones(2))[0].round(4)
    array([ 1.0833, -0.0833])
    """
    wide, up_back = linear_vjp(x, up)
    if up_bias is not None:
        wide = wide + up_bias
    bent, bend_back = activation_vjp(wide)
    narrow, down_back = linear_vjp(bent, down)

    def vjp(g: Vectors) -> tuple[Any, ...]:
        dbent, ddown = down_back(g)
        [dwide] = bend_back(dbent)
        dx, dup = up_back(dwide)
        return dx, dup, ddown, _to_bias(up_bias, dwide), _to_bias(down_bias, g)

    return narrow if down_bias is None else narrow + down_bias, vjp


def _to_bias(bias: Any, g: Any) -> Any:
    if bias is None:
        return None
    return np.sum(g, axis=tuple(range(g.ndim - 1)), dtype=np.promote_types(g.dtype, np.float32)).astype(bias.dtype)


@checked
def swiglu_vjp(
    x: Vectors, gate: Float[Any, "D F"], up: Float[Any, "D F"], down: Float[Any, "F D"]
) -> tuple[Vectors, Callable[[Vectors], tuple[Any, Any, Any, Any]]]:
    """`swiglu` and its gradient: its steps, backwards.

    Of a product each factor's gradient is the upstream times the other factor; x goes two ways, and gets the
    sum of what comes back.

    >>> swiglu_vjp(np.array([1.0, -1.0]), np.eye(2), np.eye(2), np.eye(2))[1](np.ones(2))[0].round(4)
    array([ 1.6587, -0.3413])
    """
    gated, gate_back = linear_vjp(x, gate)
    opened, silu_back = silu_vjp(gated)
    wide, up_back = linear_vjp(x, up)
    out, down_back = linear_vjp(opened * wide, down)

    def vjp(g: Vectors) -> tuple[Any, Any, Any, Any]:
        dproduct, ddown = down_back(g)
        dx_through_gate, dgate = gate_back(*silu_back(dproduct * wide))
        dx_through_up, dup = up_back(dproduct * opened)
        return dx_through_gate + dx_through_up, dgate, dup, ddown

    return out, vjp
