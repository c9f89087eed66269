"""The gradient of experts, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from minillm.axes import checked, wide
from minillm.experts.mixture import expert_of
from minillm.experts.shared import Experts, Gates, Kept, Rows, Weights, check_chosen, check_weights
from minillm.layers.mlp_vjp import mlp_vjp, swiglu_vjp


@checked
def mixture_vjp(
    x: Rows, gates: Gates, experts: Experts, kept: Kept, weights: Weights
) -> tuple[Rows, Callable[[Rows], tuple[Rows, Gates, Weights]]]:
    """`mixture` and its gradient, in the form of `jax.vjp`.

    Of gate * E_i(x) with an upstream g, the gate gets g . E_i(x) and the expert's output gate * g; from there the
    expert's own gradient goes on to its weights, and to x, which gets the sum over its experts. What is not kept gets
    exactly 0, and so does an expert without tokens.

    >>> weights = {"up": np.ones((2, 1, 1)), "down": np.array([[[1.0]], [[10.0]]])}
    >>> one, chosen = np.ones((1, 1)), np.array([[1]])
    >>> dx, dgates, dweights = mixture_vjp(one, one, chosen, chosen > 0, weights)[1](one)
    >>> dgates.round(4), dweights["down"].round(4).tolist()
    (array([[8.4134]]), [[[0.0]], [[0.8413]]])
    """
    E = len(weights["down"])
    check_weights(weights, x.shape[-1])
    check_chosen(experts, E)
    out, steps = np.zeros_like(wide(x)), []
    for index in range(E):
        tokens, choice = np.nonzero(kept & (experts == index))
        rows, back = feed_forward_vjp(x[tokens], expert_of(weights, index))
        out[tokens] += gates[tokens, choice, None] * rows
        steps.append((tokens, choice, rows, back))

    def vjp(g: Rows) -> tuple[Rows, Gates, Weights]:
        dx, dgates, dexperts = np.zeros_like(wide(x)), np.zeros_like(gates), []
        for tokens, choice, rows, back in steps:
            dgates[tokens, choice] = np.sum(wide(g[tokens]) * wide(rows), axis=-1)
            drows, dexpert = back((gates[tokens, choice, None] * g[tokens]).astype(g.dtype))
            dx[tokens] += drows
            dexperts.append(dexpert)
        return dx.astype(x.dtype), dgates, {name: np.stack([d[name] for d in dexperts]) for name in weights}

    return out.astype(x.dtype), vjp


@checked
def feed_forward_vjp(
    x: Float[Any, "*batch D"], weights: Weights
) -> tuple[Float[Any, "*batch D"], Callable[[Any], tuple[Any, Weights]]]:
    """`feed_forward` and its gradient, the weights' as a dict of their names.

    >>> feed_forward_vjp(np.ones(1), {"up": np.ones((1, 1)), "down": np.ones((1, 1))})[1](np.ones(1))[0].round(4)
    array([1.0833])
    """
    out, back = swiglu_vjp(x, **weights) if "gate" in weights else mlp_vjp(x, **weights)

    def vjp(g: Any) -> tuple[Any, Weights]:
        dx, *dweights = back(g)
        names = [name for name in ("gate", "up", "down") if name in weights]
        by_name = dict(zip(names, dweights[: len(names)], strict=True))  # an mlp's biases, None, stay behind
        return dx, {name: by_name[name] for name in weights}

    return out, vjp
