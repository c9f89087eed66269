"""Laws of linear layers."""

from typing import Any

from hypothesis import strategies as st

from minillm.layers.linear import embedding, linear
from minillm.strategies import arrays, normal, seeds, vectors, whole
from minillm.twins import Twin


@st.composite
def products(draw: Any) -> tuple[Any, ...]:
    """A vector or a batch of them, and a matrix."""
    shape = draw(vectors)
    return draw(arrays(shape)), normal(draw(seeds), shape[-1], 13) / shape[-1]


TWINS = (
    Twin(linear, given=products(), gradient=("x", "weight")),
    Twin(embedding, given=st.tuples(arrays((7, 5)), whole((2, 3), 0, 6)), gradient=("table",)),
)
ALONE = {
    "fast.transposed.transpose_weights": "a memory layout; tests/layers/test_linear.py holds it to changing no result",
    "fast.argmax.argmax": "NumPy's and JAX's argmax, faster; tests/layers/test_fast_layers.py holds it",
}
