"""What the matrices of a model read: the second moment of each one's inputs, over the tokens of some text.

    C = mean of x^T x,    x the row that a token gives to `x @ W`

Where C is far from a multiple of the identity, some inputs are much longer than others, and an error in their rows of W
costs more. The NumPy model runs with a listener in the place of every matrix, which multiplies as the matrix does.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from minillm.config import Config
from minillm.parameters import Params, leaf_at, linear_paths, replace_leaves
from minillm.transformer.transformer import hidden_states


class _Listener:
    """A matrix that adds up the second moment of what it is multiplied by."""

    __array_ufunc__ = None  # NumPy leaves the product `x @ listener` to the listener

    def __init__(self, weight: Any):
        self.weight, self.shape, self.dtype = weight, weight.shape, weight.dtype
        self.total, self.tokens = np.zeros((len(weight), len(weight)), np.float32), 0

    def __rmatmul__(self, x: Any) -> Any:
        rows = x.reshape(-1, x.shape[-1])
        self.total += rows.T @ rows
        self.tokens += len(rows)
        return x @ self.weight


def second_moments(params: Params, rows: Int[Any, "B T"], config: Config) -> dict[str, Float[np.ndarray, "d_in d_in"]]:
    """The second moment of the inputs of each matrix of the layers, by its path; float32, row after row of tokens.

    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
    >>> moments = second_moments(init_params(TINY, np.random.default_rng(0)), np.array([[1, 2, 3]]), TINY)
    >>> moments["layers.0.attention.query"].shape, moments["layers.0.mlp.down"].shape
    ((4, 4), (5, 5))
    """
    paths = [path for path in linear_paths(params) if path.startswith("layers.")]
    listeners = {path: _Listener(leaf_at(params, path)) for path in paths}
    listening = replace_leaves(params, listeners)
    for row in rows:
        hidden_states(listening, row, config)
    for listener in listeners.values():
        listener.total /= listener.tokens  # in place: all of them together are half a gigabyte
    return {path: listener.total for path, listener in listeners.items()}
