"""Laws of activations."""

from minillm.layers.activations import gelu, gelu_tanh, normal_cdf, silu
from minillm.strategies import one_vector
from minillm.twins import Twin

TWINS = (
    *(Twin(activation, given=one_vector, gradient=("x",)) for activation in (gelu, gelu_tanh, silu)),
    Twin(normal_cdf, given=one_vector),
)
