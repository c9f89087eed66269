"""Linear layers: every output a weighted sum of the inputs.

    linear(x, W)    = x W
    embedding(E, t) = one_hot(t) E = row t of E               [Vaswani2017], section 3.4

A lookup is a linear layer whose input is 1 at the token's place and 0 elsewhere, without the
multiplications by zero.
"""

import numpy as np  # noqa: F401  for the examples

from minillm.axes import Hidden, Tokens, checked
from minillm.layers.shared import Inputs, Matrix, Outputs, Table


@checked
def linear(x: Inputs, weight: Matrix) -> Outputs:
    """`x @ W`.

    >>> linear(np.array([1.0, 2.0]), np.array([[3.0], [4.0]]))
    array([11.])
    """
    return x @ weight


@checked
def embedding(table: Table, tokens: Tokens) -> Hidden:
    """Each token's row of the table.

    >>> embedding(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1]))
    array([[3., 4.],
           [3., 4.]])
    """
    return table[tokens]
