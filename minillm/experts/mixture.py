"""Experts: feed-forward layers side by side, each at work on the tokens that it got.

    y_t = sum over the choices j of token t that are kept  gate_tj E_tj(x_t)

An expert is SwiGLU, or without a "gate" a plain MLP with gelu; its weights are one slice of arrays with a leading axis
of experts. What is not kept (a dropped choice, padding) adds exactly 0. Who goes where is `minillm.experts.routing`.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from minillm.axes import checked, wide
from minillm.errors import InputError
from minillm.layers.mlp import mlp, swiglu

Weights = dict[str, Any]  # {"gate": (E, D, F), "up": (E, D, F), "down": (E, F, D)}; of one expert: without E
Vectors = Float[Any, "T D"]
Gates = Float[Any, "T k"]
Experts = Int[Any, "T k"]
Kept = Bool[Any, "T k"]


@checked
def mixture(x: Vectors, gates: Gates, experts: Experts, kept: Kept, weights: Weights) -> Vectors:
    """The gated sum of each token's experts.

    >>> weights = {"up": np.ones((2, 1, 1)), "down": np.array([[[1.0]], [[10.0]]])}  # gelu(x), and ten times that
    >>> mixture(np.ones((2, 1)), np.ones((2, 1)), np.array([[0], [1]]), np.array([[True], [True]]), weights).round(4)
    array([[0.8413],
           [8.4134]])
    """
    check_experts(weights, x.shape[-1], experts)
    out = np.zeros_like(wide(x))
    for index in range(len(weights["down"])):
        tokens, choice = np.nonzero(kept & (experts == index))
        out[tokens] += gates[tokens, choice, None] * feed_forward(x[tokens], _slice(weights, index))
    return out.astype(x.dtype)


@checked
def feed_forward(x: Float[Any, "*batch D"], weights: Weights) -> Float[Any, "*batch D"]:
    """One expert: `swiglu`, or `mlp` where there is no gate.

    >>> feed_forward(np.ones(1), {"up": np.ones((1, 1)), "down": np.ones((1, 1))}).round(4)
    array([0.8413])
    """
    return swiglu(x, **weights) if "gate" in weights else mlp(x, **weights)


def check_experts(weights: Weights, model_dim: int, experts: Experts) -> None:
    """Refuse weights that do not fit together, or the tokens; and a choice of an expert that is not there.

    >>> check_experts({"up": np.ones((2, 3, 5)), "down": np.ones((2, 5, 4))}, 3, np.array([[0]]))
    Traceback (most recent call last):
    minillm.errors.InputError: mixture: down has shape (2, 5, 4), but 2 experts from 3 to 5 and back need (2, 5, 3).
    """
    E, _, F = weights["up"].shape
    for name, weight in weights.items():
        expected = (E, F, model_dim) if name == "down" else (E, model_dim, F)
        if weight.shape != expected:
            raise InputError(
                f"mixture: {name} has shape {weight.shape}, but {E} experts from {model_dim} to {F} and back "
                f"need {expected}."
            )
    if experts.size and not 0 <= experts.min() <= experts.max() < E:
        raise InputError(f"mixture: experts are chosen from {experts.min()} to {experts.max()}; there are {E}, from 0.")


def _slice(weights: Weights, index: int) -> Weights:
    return {name: weight[index] for name, weight in weights.items()}
