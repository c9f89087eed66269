"""Experts: feed-forward layers side by side, each at work on the tokens that it got.

    y_t = sum over the choices j of token t that are kept  gate_tj E_tj(x_t)

An expert is SwiGLU, or without a "gate" a plain MLP with gelu; its weights are one slice of arrays with a leading axis
of experts. What is not kept (a dropped choice, padding) adds exactly 0. Who goes where is `minillm.experts.routing`.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.axes import checked, wide
from minillm.experts.shared import Experts, Gates, Kept, Rows, Weights, check_chosen, check_weights
from minillm.layers.mlp import mlp, swiglu


@checked
def mixture(x: Rows, gates: Gates, experts: Experts, kept: Kept, weights: Weights) -> Rows:
    """The gated sum of each token's experts.

    >>> weights = {"up": np.ones((2, 1, 1)), "down": np.array([[[1.0]], [[10.0]]])}  # gelu(x), and ten times that
    >>> mixture(np.ones((2, 1)), np.ones((2, 1)), np.array([[0], [1]]), np.array([[True], [True]]), weights).round(4)
    array([[0.8413],
           [8.4134]])
    """
    E = len(weights["down"])
    check_weights(weights, x.shape[-1])
    check_chosen(experts, E)
    out = np.zeros_like(wide(x))
    for index in range(E):
        sent = kept & (experts == index)
        tokens, gate = sent.any(-1), np.sum(np.where(sent, gates, 0), axis=-1, keepdims=True)
        out[tokens] += gate[tokens] * feed_forward(x[tokens], expert_of(weights, index))
    return out.astype(x.dtype)


@checked
def feed_forward(x: Float[Any, "*batch D"], weights: Weights) -> Float[Any, "*batch D"]:
    """One expert: `swiglu`, or `mlp` where there is no gate.

    >>> feed_forward(np.ones(1), {"up": np.ones((1, 1)), "down": np.ones((1, 1))}).round(4)
    array([0.8413])
    """
    return swiglu(x, **weights) if "gate" in weights else mlp(x, **weights)


def expert_of(weights: Weights, index: int) -> Weights:
    """The weights of one expert.

    >>> expert_of({"up": np.ones((2, 1, 3)), "down": np.ones((2, 3, 1))}, 0)["up"]
    array([[1., 1., 1.]])
    """
    return {name: weight[index] for name, weight in weights.items()}
