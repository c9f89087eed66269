"""The decoder-only transformer as a Flax module."""

from typing import Self

import numpy as np
from flax import nnx
from jaxtyping import Float

from minillm.axes import Tokens
from minillm.config import Config
from minillm.layers.modules_flax import as_variables, draws
from minillm.transformer.transformer import init_params
from minillm.transformer.transformer_jax import Params, transformer


class Transformer(nnx.Module):
    """Holds the parameter tree of `transformer`, each array as an `nnx.Param`.

    >>> from minillm.config import TINY
    >>> Transformer(TINY, rngs=nnx.Rngs(0))(np.array([[1, 2, 3]])).shape
    (1, 3, 7)
    """

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        """Draw the parameters by the rule of `init_params`."""
        self.config = config
        self.params = nnx.data(as_variables(init_params(config, draws(rngs))))

    @classmethod
    def from_params(cls, config: Config, params: Params) -> Self:
        """The module of a tree that exists; nothing is drawn."""
        model = nnx.eval_shape(lambda: cls(config, rngs=nnx.Rngs(0)))
        model.params = nnx.data(as_variables(params))
        return model

    def __call__(self, tokens: Tokens) -> Float[np.ndarray, "*batch T V"]:
        """Logits of the next token after every position."""
        return transformer(nnx.as_pure(self.params), tokens, self.config)
