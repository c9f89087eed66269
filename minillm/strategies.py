"""Inputs for laws and twins: simple numbers first, so that what Hypothesis shrinks to can be read.

Values are bounded and without subnormals. `normal` gives well-conditioned numbers from a seed where zeros would hide a
mistake. Each new shape is compiled anew, so the shapes of what a twin is tried on are few, and the same everywhere.
"""

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

values = st.floats(-8, 8, allow_subnormal=False, width=32)
seeds = st.integers(0, 2**16)
row_shapes = st.sampled_from([(1,), (2,), (3,), (2, 1), (1, 2), (2, 3), (7,), (3, 5), (2, 3, 2)])
vectors = st.sampled_from([(7,), (2, 3, 7)])  # for twins: alone, and with two axes of a batch


def arrays(shape: Any, elements: Any = values) -> st.SearchStrategy[np.ndarray]:
    """Arrays of float64."""
    return hnp.arrays(np.float64, shape, elements=elements)


def whole(shape: Any, low: int, high: int) -> st.SearchStrategy[np.ndarray]:
    """Arrays of int32, both ends included."""
    return hnp.arrays(np.int32, shape, elements=st.integers(low, high))


def booleans(shape: Any) -> st.SearchStrategy[np.ndarray]:
    """Arrays of True and False."""
    return hnp.arrays(bool, shape)


def alone(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any]]:
    """Arguments of a function that takes one."""
    return st.tuples(strategy)


def normal(seed: int, *shape: int) -> np.ndarray:
    """Well-conditioned numbers: never all zero.

    >>> normal(0, 2).round(3)
    array([ 0.126, -0.132])
    """
    return np.random.default_rng(seed).standard_normal(shape)


def separated_logits(*shape: int) -> st.SearchStrategy[np.ndarray]:
    """A permutation of numbers a quarter apart: no two are so close that rounding could reorder them."""
    steps = np.tile(np.arange(shape[-1]) / 4.0, (*shape[:-1], 1))
    return seeds.map(lambda seed: np.random.default_rng(seed).permuted(steps, axis=-1))


one_vector = alone(vectors.flatmap(arrays))
