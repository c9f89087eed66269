"""Inputs for laws: small shapes and simple numbers first, so that what Hypothesis shrinks to can be read.

Values are bounded and without subnormals. `normal` gives well-conditioned numbers from a seed where zeros would hide a
mistake.
"""

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

values = st.floats(-8, 8, allow_subnormal=False, width=32)
seeds = st.integers(0, 2**16)
row_shapes = st.sampled_from([(1,), (2,), (3,), (2, 1), (1, 2), (2, 3), (7,), (3, 5), (2, 3, 2)])


def arrays(shape: Any, elements: Any = values) -> st.SearchStrategy[np.ndarray]:
    """Arrays of float64."""
    return hnp.arrays(np.float64, shape, elements=elements)


def whole(shape: Any, low: int, high: int) -> st.SearchStrategy[np.ndarray]:
    """Arrays of int32, both ends included."""
    return hnp.arrays(np.int32, shape, elements=st.integers(low, high))


def normal(seed: int, *shape: int) -> np.ndarray:
    """Well-conditioned numbers: never all zero.

    >>> normal(0, 2).round(3)
    array([ 0.126, -0.132])
    """
    return np.random.default_rng(seed).standard_normal(shape)
