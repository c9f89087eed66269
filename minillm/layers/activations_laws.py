"""Laws of activations."""

from minillm.layers.activations import gelu, gelu_tanh, silu
from minillm.strategies import one_vector
from minillm.twins import Twin

TWINS = tuple(Twin(activation, given=one_vector, gradient=("x",)) for activation in (gelu, gelu_tanh, silu))
