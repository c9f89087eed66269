"""Random numbers for the modules: a key's, in the place of NumPy's generator.

The functions that make a parameter tree (`init_params`, `init_moe_params`, `init_lora`) draw from a NumPy generator.
Given `draws(rngs)` they make the same tree from `nnx.Rngs`, also inside `jit`: each rule is written once.
"""

from typing import Any

from flax import nnx


def draws(rngs: nnx.Rngs) -> Any:
    """What those functions ask of a `numpy.random.Generator`, drawn from the stream "params".

    >>> draws(nnx.Rngs(0)).standard_normal((2, 3)).shape
    (2, 3)
    """
    return _Draws(rngs)


class _Draws:
    def __init__(self, rngs: nnx.Rngs):
        self.rngs = rngs

    def standard_normal(self, shape: tuple[int, ...]) -> Any:
        return self.rngs.params.normal(shape)

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> Any:
        return self.rngs.params.uniform(shape, minval=low, maxval=high)
