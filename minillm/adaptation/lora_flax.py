"""LoRA as Flax modules: one layer, and a transformer whose base is frozen.

The adapter's arrays are `nnx.LoRAParam`, so `nnx.Optimizer` and `nnx.DiffState` with `nnx.LoRAParam` see them alone.
"""

from typing import Any, Self

from flax import nnx
from jaxtyping import Float

from minillm.adaptation.fast.weights import with_lora
from minillm.adaptation.lora import init_lora
from minillm.adaptation.lora_jax import lora_linear, merge_lora
from minillm.adaptation.shared import Inputs, Matrix, Outputs
from minillm.axes import Tokens
from minillm.config import Config, LoRAConfig
from minillm.errors import InputError
from minillm.layers.modules_flax import as_variables, draws, random_matrix
from minillm.parameters import Adapter, Params, check_adapter
from minillm.transformer.transformer_jax import transformer


class LoRALinear(nnx.Module):
    """A linear layer and its change; with the same weights, and scale 1, it equals `nnx.LoRALinear` without bias.

    >>> import jax.numpy as jnp
    >>> layer = LoRALinear(3, 5, LoRAConfig(rank=2), rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((4, 3))).shape
    (4, 5)
    """

    def __init__(self, d_in: int, d_out: int, lora: LoRAConfig, *, rngs: nnx.Rngs):
        """Draw the matrix as `nnx.Linear` does, and the adapter as `init_lora`: at first it changes nothing."""
        self.scale = lora.scale
        self.weight = random_matrix(rngs, d_in, d_out)
        [pair] = init_lora({"weight": self.weight}, LoRAConfig(lora.rank), draws(rngs)).values()
        self.lora_a, self.lora_b = (as_variables(pair[name], nnx.LoRAParam) for name in ("lora_a", "lora_b"))

    @classmethod
    def from_weight(cls, weight: Matrix, lora: LoRAConfig, *, rngs: nnx.Rngs) -> Self:
        """A new adapter beside a matrix that exists."""
        layer = cls(weight.shape[0], weight.shape[1], lora, rngs=rngs)
        layer.weight[...] = weight
        return layer

    def __call__(self, x: Inputs) -> Outputs:
        """As `lora_linear`: no gradient reaches the matrix."""
        return lora_linear(x, self.weight[...], self.lora_a[...], self.lora_b[...], self.scale)


class LoRATransformer(nnx.Module):
    """A base's tree, frozen as plain variables, and an adapter: trained, off, merged or swapped.

    `merge` puts the changes into the matrices and keeps the base beside them: `unmerge` gives back its very bits.
    """

    def __init__(self, config: Config, params: Params, lora: LoRAConfig, *, rngs: nnx.Rngs):
        """Take the base over, and draw a new adapter as `init_lora` does; it is on."""
        self.config, self.lora, self.on = config, lora, True
        self.params = nnx.data(as_variables(params, nnx.Variable))
        self.adapter = nnx.data(as_variables(init_lora(params, lora, draws(rngs)), nnx.LoRAParam))
        self.merged: Any = nnx.data(None)

    @classmethod
    def from_params(cls, config: Config, params: Params, adapter: Adapter, lora: LoRAConfig) -> Self:
        """The module of a base and an adapter that exist."""
        check_adapter(params, adapter)
        model = nnx.eval_shape(lambda: cls(config, params, lora, rngs=nnx.Rngs(0)))
        model.params = nnx.data(as_variables(params, nnx.Variable))
        model.adapter = nnx.data(as_variables(adapter, nnx.LoRAParam))
        return model

    def __call__(self, tokens: Tokens, key: Any = None) -> Float[Any, "*batch T V"]:
        """Logits; with the adapter off those of the base, bit for bit. A `key` draws dropout."""
        if self.merged is not None:
            return transformer(nnx.as_pure(self.merged), tokens, self.config)
        params = nnx.as_pure(self.params)
        if self.on:
            params = with_lora(params, nnx.as_pure(self.adapter), self.lora.scale, key, self.lora.dropout)
        return transformer(params, tokens, self.config)

    def merge(self) -> None:
        """Put the changes into the matrices. Raises InputError where they are in already."""
        if self.merged is not None:
            raise InputError("LoRA: the adapter is merged already; unmerge it first.")
        merged = merge_lora(nnx.as_pure(self.params), nnx.as_pure(self.adapter), self.lora.scale)
        self.merged = nnx.data(as_variables(merged, nnx.Variable))

    def unmerge(self) -> None:
        """Go back to the base and its adapter. Raises InputError where nothing is merged."""
        if self.merged is None:
            raise InputError("LoRA: the adapter is not merged; there is nothing to take out.")
        self.merged = nnx.data(None)

    def swap(self, adapter: Adapter) -> None:
        """Take another adapter in place of this one. Raises InputError where this one is merged."""
        if self.merged is not None:
            raise InputError("LoRA: the adapter is merged; unmerge it before another takes its place.")
        check_adapter(nnx.as_pure(self.params), adapter)
        self.adapter = nnx.data(as_variables(adapter, nnx.LoRAParam))
