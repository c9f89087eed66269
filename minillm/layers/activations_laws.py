"""Laws of activations."""

from minillm.layers.activations import gelu, gelu_tanh, normal_cdf, silu
from minillm.strategies import one_vector
from minillm.twins import Twin

TWINS = (
    *(Twin(activation, given=one_vector, gradient=("x",)) for activation in (gelu, silu)),
    Twin(
        gelu_tanh, given=one_vector, gradient=("x",), float32_gradient=1e-5
    ),  # at 6, tanh is 1 but for its last digits
    Twin(normal_cdf, given=one_vector),
)
