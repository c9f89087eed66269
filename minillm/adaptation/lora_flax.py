"""A transformer with an adapter, as a module: the base frozen, the adapter trained, off, merged or swapped."""

from typing import Any

import jax
from flax import nnx
from jaxtyping import Float

from minillm.adaptation.lora_jax import merge_lora, with_lora
from minillm.axes import Tokens
from minillm.config import Config, LoRAConfig
from minillm.errors import InputError
from minillm.parameters import Adapter, Params, check_adapter
from minillm.transformer.transformer_jax import transformer


class LoRATransformer(nnx.Module):
    """Holds a base's tree and an adapter's. The adapter's arrays are `nnx.LoRAParam`, the base's plain variables.

    So `nnx.grad` and `nnx.Optimizer` with `wrt=nnx.LoRAParam` see the adapter alone. `merge` puts the changes into the
    matrices, and keeps the base beside them: `unmerge` gives back its very bits.
    """

    def __init__(self, config: Config, params: Params, adapter: Adapter, lora: LoRAConfig):
        """Take the trees over; the adapter is on."""
        check_adapter(params, adapter)
        self.config, self.lora, self.on = config, lora, True
        self.params = nnx.data(jax.tree.map(nnx.Variable, params))
        self.adapter = nnx.data(jax.tree.map(nnx.LoRAParam, adapter))
        self.merged: Any = nnx.data(None)

    def __call__(self, tokens: Tokens, key: Any = None) -> Float[Any, "*batch T V"]:
        """Logits; with the adapter off those of the base, bit for bit. A `key` draws dropout."""
        if self.merged is not None:
            return transformer(_plain(self.merged), tokens, self.config)
        params = _plain(self.params)
        if self.on:
            params = with_lora(params, _plain(self.adapter), self.lora.scale, key, self.lora.dropout)
        return transformer(params, tokens, self.config)

    def merge(self) -> None:
        """Put the changes into the matrices. Raises InputError where they are in already."""
        if self.merged is not None:
            raise InputError("LoRA: the adapter is merged already; unmerge it first.")
        merged = merge_lora(_plain(self.params), _plain(self.adapter), self.lora.scale)
        self.merged = nnx.data(jax.tree.map(nnx.Variable, merged))

    def unmerge(self) -> None:
        """Go back to the base and its adapter. Raises InputError where nothing is merged."""
        if self.merged is None:
            raise InputError("LoRA: the adapter is not merged; there is nothing to take out.")
        self.merged = nnx.data(None)

    def swap(self, adapter: Adapter) -> None:
        """Take another adapter in place of this one. Raises InputError where this one is merged."""
        if self.merged is not None:
            raise InputError("LoRA: the adapter is merged; unmerge it before another takes its place.")
        check_adapter(_plain(self.params), adapter)
        self.adapter = nnx.data(jax.tree.map(nnx.LoRAParam, adapter))


def _plain(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[...], tree, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))
