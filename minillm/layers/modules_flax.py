"""What the Flax modules share: how parameters are drawn, and how a tree of arrays is held.

The functions that make a parameter tree (`init_params`, `init_moe_params`, `init_lora`) draw from a NumPy generator.
Given `draws(rngs)` they make the same tree from `nnx.Rngs`, also inside `jit`: each rule is written once.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def as_variables(tree: Any, kind: type[nnx.Variable] = nnx.Param) -> Any:
    """The tree with each array as a variable of this kind; as an attribute of a module, give it to `nnx.data`.

    >>> as_variables({"scale": [1.0]}, nnx.LoRAParam)["scale"][0].shape
    ()
    """
    return jax.tree.map(lambda leaf: kind(jnp.asarray(leaf)), tree)


def random_matrix(rngs: nnx.Rngs, d_in: int, d_out: int) -> nnx.Param:
    """A matrix with deviation 1 / sqrt(d_in), so that a layer keeps the size of its vectors: what `nnx.Linear` draws.

    >>> random_matrix(nnx.Rngs(0), 2, 3).shape
    (2, 3)
    """
    return nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), (d_in, d_out)))


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
