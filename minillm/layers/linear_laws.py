"""Laws of linear layers."""

from typing import Any

from hypothesis import strategies as st

from minillm.layers.linear import linear
from minillm.strategies import arrays, normal, seeds, vectors
from minillm.twins import Twin


@st.composite
def products(draw: Any) -> tuple[Any, ...]:
    """A vector or a batch of them, and a matrix."""
    shape = draw(vectors)
    return draw(arrays(shape)), normal(draw(seeds), shape[-1], 13) / shape[-1]


TWINS = (Twin(linear, given=products(), gradient=("x", "weight")),)
ALONE = {
    "embedding": "the twin looks up in hidden_states, where an unknown id gives NaN",
    "transpose_weights": "a memory layout; tests/layers/test_linear.py holds it to changing no result",
}
