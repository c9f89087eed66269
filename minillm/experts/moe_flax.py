"""Mixture of experts as a Flax module."""

from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx

from minillm.config import MoEConfig
from minillm.experts.fast.choose import moe
from minillm.experts.moe import init_moe_params
from minillm.experts.moe_jax import auxiliary_loss
from minillm.experts.shared import Loss, Noise, Params, VectorMask, Vectors
from minillm.layers.modules_flax import draws
from minillm.parameters import role_of


class MoE(nnx.Module):
    """Holds the parameter tree of `moe`: what a loss trains as `nnx.Param`, the selection bias as a plain variable.

    >>> layer = MoE(MoEConfig(num_experts=4), model_dim=3, ffn_dim=5, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((2, 7, 3))).shape
    (2, 7, 3)
    """

    def __init__(
        self,
        config: MoEConfig,
        model_dim: int,
        ffn_dim: int,
        *,
        gated: bool = True,
        shared_dim: int = 0,
        rngs: nnx.Rngs,
    ):
        """Draw the parameters by the rule of `init_moe_params`."""
        self.config = config
        self.params = _variables(init_moe_params(config, model_dim, ffn_dim, draws(rngs), gated, shared_dim))

    @classmethod
    def from_params(cls, config: MoEConfig, params: Params) -> Self:
        """The module of a tree that exists; nothing is drawn."""
        layer = nnx.eval_shape(lambda: cls(config, 1, 1, rngs=nnx.Rngs(0)))
        layer.params = _variables(params)
        return layer

    def __call__(self, x: Vectors, token_mask: VectorMask | None = None, noise: Noise | None = None) -> Vectors:
        """As `moe`."""
        return moe(x, nnx.as_pure(self.params), self.config, token_mask, noise)

    def auxiliary_loss(self, x: Vectors, token_mask: VectorMask | None = None, noise: Noise | None = None) -> Loss:
        """As `auxiliary_loss`, of the same arguments: add it to the loss that is trained."""
        return auxiliary_loss(x, nnx.as_pure(self.params), self.config, token_mask, noise)


def _variables(params: Params) -> Params:
    def variable(path: Any, leaf: Any) -> nnx.Variable:
        kind = nnx.Variable if role_of(path, leaf.shape) == "selection_bias" else nnx.Param
        return kind(jnp.asarray(leaf))

    return nnx.data(jax.tree_util.tree_map_with_path(variable, params))
