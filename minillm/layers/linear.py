"""Linear layers: every output a weighted sum of the inputs.

    linear(x, W)    = x W
    embedding(E, t) = one_hot(t) E = row t of E               (Vaswani et al. 2017, section 3.4)

A lookup is a linear layer whose input is 1 at the token's place and 0 elsewhere, without the
multiplications by zero. The concept files write `x @ W`; these names are where its gradient stands.
"""

from typing import Any

import numpy as np  # noqa: F401  for the examples
from jaxtyping import Float

from minillm.axes import Hidden, Tokens, checked

Inputs = Float[Any, "*batch d_in"]
Outputs = Float[Any, "*batch d_out"]
Matrix = Float[Any, "d_in d_out"]
Table = Float[Any, "V D"]


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
