"""The gradient of LoRA, by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minillm.adaptation.lora import merge_lora
from minillm.adaptation.shared import FactorA, FactorB, Inputs, Keep, Matrix, Outputs
from minillm.axes import checked
from minillm.parameters import Adapter, Params, leaf_at


@checked
def lora_linear_vjp(
    x: Inputs,
    weight: Matrix,
    lora_a: FactorA,
    lora_b: FactorB,
    scale: float = 1.0,
    keep: Keep | None = None,
    dropout: float = 0.0,
) -> tuple[Outputs, Callable[[Outputs], tuple[Inputs, Any, Any]]]:
    """`lora_linear` and its gradient by x, A and B, in the form of `jax.vjp`; W is frozen and gets none.

    Of h = scale x A and y = x W + h B, with upstream g:  dB = h^T g,  and with u = scale g B^T:  dA = x^T u,
    dx = g W^T + u A^T, the last two through the dropout. No product is as large as x^T g, which W's gradient would be.

    >>> one = np.ones((1, 1))
    >>> lora_linear_vjp(one, one, 2 * one, 0 * one)[1](one)
    (array([[1.]]), array([[0.]]), array([[2.]]))
    """
    dropped = x if keep is None else np.where(keep, x / (1 - dropout), 0).astype(x.dtype)
    inner = dropped @ lora_a
    factor = np.asarray(scale, inner.dtype)

    def vjp(g: Outputs) -> tuple[Inputs, Any, Any]:
        R, d_out = lora_b.shape
        rows, upstream = g.reshape(-1, d_out), factor * (g @ lora_b.T)
        dlora_b = (factor * inner).reshape(-1, R).T @ rows
        dlora_a = dropped.reshape(-1, x.shape[-1]).T @ upstream.reshape(-1, R)
        dchange = upstream @ lora_a.T
        if keep is not None:
            dchange = np.where(keep, dchange / (1 - dropout), 0).astype(x.dtype)
        return g @ weight.T + dchange, dlora_a, dlora_b

    return x @ weight + factor * inner @ lora_b, vjp


def merge_lora_vjp(params: Params, adapter: Adapter, scale: float) -> tuple[Params, Callable[[Params], tuple[Adapter]]]:
    """`merge_lora` and its gradient by the adapter: how a model with one is trained, since W + scale A B is its weight.

    dA = scale dW B^T and dB = scale A^T dW, from the gradient dW of each merged matrix.

    >>> adapter = {"head": {"lora_a": np.ones((1, 1)), "lora_b": np.zeros((1, 2))}}
    >>> merge_lora_vjp({"head": np.zeros((1, 2))}, adapter, 0.5)[1]({"head": np.ones((1, 2))})
    ({'head': {'lora_a': array([[0.]]), 'lora_b': array([[0.5, 0.5]])}},)
    """

    def vjp(g: Params) -> tuple[Adapter]:
        dadapter = {}
        for path, pair in adapter.items():
            dweight = leaf_at(g, path)
            factor = np.asarray(scale, dweight.dtype)
            dlora_a, dlora_b = factor * (dweight @ pair["lora_b"].T), factor * (pair["lora_a"].T @ dweight)
            dadapter[path] = {"lora_a": dlora_a, "lora_b": dlora_b}
        return (dadapter,)

    return merge_lora(params, adapter, scale), vjp
