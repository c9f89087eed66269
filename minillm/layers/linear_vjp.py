"""The gradient of linear layers, by hand."""

from collections.abc import Callable

import numpy as np

from minillm.axes import Hidden, Tokens, checked, wide
from minillm.layers.shared import Inputs, Matrix, Outputs, Table


@checked
def linear_vjp(x: Inputs, weight: Matrix) -> tuple[Outputs, Callable[[Outputs], tuple[Inputs, Matrix]]]:
    """`linear` and its gradient, in the form of `jax.vjp`.

    Output j is sum_i x_i W_ij, so for an upstream g:  dx = g W^T,  dW = sum over tokens of x^T g.

    >>> linear_vjp(np.array([1.0, 2.0]), np.array([[3.0], [4.0]]))[1](np.array([1.0]))
    (array([3., 4.]), array([[1.],
           [2.]]))
    """

    def vjp(g: Outputs) -> tuple[Inputs, Matrix]:
        d_in, d_out = weight.shape
        return g @ weight.T, x.reshape(-1, d_in).T @ g.reshape(-1, d_out)

    return x @ weight, vjp


@checked
def embedding_vjp(table: Table, tokens: Tokens) -> tuple[Hidden, Callable[[Hidden], tuple[Table]]]:
    """`embedding` and its gradient: dE = one_hot^T g, so each place adds its g to its token's row.

    A token that stands in several places gets their sum; one that stands nowhere gets exactly 0.

    >>> embedding_vjp(np.zeros((3, 1)), np.array([2, 0, 2]))[1](np.array([[1.0], [10.0], [100.0]]))
    (array([[ 10.],
           [  0.],
           [101.]]),)
    """

    def vjp(g: Hidden) -> tuple[Table]:
        dtable = np.zeros_like(wide(table))
        np.add.at(dtable, tokens, g)  # unlike dtable[tokens] += g, which would count a repeated token once
        return (dtable.astype(table.dtype),)

    return table[tokens], vjp
