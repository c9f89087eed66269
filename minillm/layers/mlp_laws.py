"""Laws of the feed-forward layer."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minillm.layers.mlp import mlp, swiglu
from minillm.strategies import arrays, normal, seeds, vectors
from minillm.twins import Twin


@st.composite
def mlp_problems(draw: Any, num_wide: int, biases: bool = False) -> tuple[np.ndarray, ...]:
    """Vectors, one or two matrices that widen them to 13, one that narrows them again, and both biases if asked for."""
    shape, seed = draw(vectors), draw(seeds)
    D, F = shape[-1], 13
    weights = [normal(seed + i, D, F) / D for i in range(num_wide)] + [normal(seed + 9, F, D) / F]
    return draw(arrays(shape)), *weights, *([normal(seed, F), normal(seed, D)] if biases else [])


TWINS = (
    Twin(mlp, given=mlp_problems(1, biases=True), gradient=("x", "up", "down", "up_bias", "down_bias"), float32=2e-6),
    Twin(swiglu, given=mlp_problems(2), gradient=("x", "gate", "up", "down"), float32=2e-6),
)
ALONE = {"fast.mlp.swiglu": "a fast form; tests/layers/test_fast_layers.py holds it to the plain twin"}
