"""A model with an adapter beside its matrices, unmerged.

`with_lora` puts a `LoRAWeight` in the place of each matrix that an adapter changes, and it multiplies as a matrix does,
`x @ W`: so every model of this package takes adapters as it is. `with_adapters` does the same for several at once, of
which each row of a batch has its own.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from minillm.adaptation.lora_jax import lora_linear, lora_linear_by_row
from minillm.adaptation.shared import FactorA, FactorB, Inputs, Matrix, Outputs, check_chosen
from minillm.errors import InputError
from minillm.parameters import Adapter, Params, check_adapter, leaf_at, replace_leaves


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weight", "lora_a", "lora_b", "key"],
    meta_fields=["scale", "dropout"],
)
@dataclass(frozen=True)
class LoRAWeight:
    """A matrix and its change, in the place of the matrix; while training with dropout, a key to draw it from."""

    weight: Matrix
    lora_a: FactorA
    lora_b: FactorB
    scale: float
    key: Any = None
    dropout: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """The matrix's."""
        return self.weight.shape

    @property
    def dtype(self) -> Any:
        """The matrix's."""
        return self.weight.dtype

    def __rmatmul__(self, x: Inputs) -> Outputs:
        """`x @ W`: `lora_linear` of x."""
        keep = None if self.key is None else jax.random.bernoulli(self.key, 1 - self.dropout, x.shape)
        return lora_linear(x, self.weight, self.lora_a, self.lora_b, self.scale, keep, self.dropout)


@partial(
    jax.tree_util.register_dataclass, data_fields=["weight", "lora_a", "lora_b", "scale", "chosen"], meta_fields=[]
)
@dataclass(frozen=True)
class LoRAWeights:
    """A matrix and the changes of several adapters, of which each row of a batch has chosen one."""

    weight: Matrix
    lora_a: Float[Any, "adapters d_in R"]
    lora_b: Float[Any, "adapters R d_out"]
    scale: Float[Any, "adapters"]
    chosen: Int[Any, "B"]

    @property
    def shape(self) -> tuple[int, ...]:
        """The matrix's."""
        return self.weight.shape

    @property
    def dtype(self) -> Any:
        """The matrix's."""
        return self.weight.dtype

    def __rmatmul__(self, x: Float[Any, "B T d_in"]) -> Float[Any, "B T d_out"]:
        """`x @ W`: `lora_linear_by_row` of x."""
        return lora_linear_by_row(x, self.weight, self.lora_a, self.lora_b, self.scale, self.chosen)


def with_lora(params: Params, adapter: Adapter, scale: float, key: Any = None, dropout: float = 0.0) -> Params:
    """The model with an adapter at its matrices, unmerged: a tree that `transformer` takes in place of the base's.

    With a `key`, dropout is drawn from it, for each matrix anew. The base's arrays are shared, and get no gradient.
    """
    check_adapter(params, adapter)
    keys = [None] * len(adapter) if key is None or dropout == 0 else jax.random.split(key, len(adapter))
    changed = {
        path: LoRAWeight(leaf_at(params, path), **pair, scale=scale, key=own, dropout=dropout)
        for (path, pair), own in zip(adapter.items(), keys, strict=True)
    }
    return replace_leaves(params, changed)


def with_adapters(params: Params, adapters: list[Adapter], scales: list[float], chosen: Int[Any, "B"]) -> Params:
    """The model with several adapters, of which row b of a batch has number `chosen[b]`, or none where that is -1.

    They may change different matrices and have different ranks: what is missing is filled with zeros.
    """
    for adapter in adapters:
        check_adapter(params, adapter)
    if not adapters or len(adapters) != len(scales):
        raise InputError(
            f"LoRA: there are {len(adapters)} adapters and {len(scales)} scales; give one of each, or more."
        )
    check_chosen(chosen, len(adapters))
    rank = max(pair["lora_a"].shape[1] for adapter in adapters for pair in adapter.values())
    changed = {}
    for path in dict.fromkeys(path for adapter in adapters for path in adapter):
        weight = leaf_at(params, path)
        a = np.zeros((len(adapters), weight.shape[0], rank), weight.dtype)
        b = np.zeros((len(adapters), rank, weight.shape[1]), weight.dtype)
        for number, adapter in enumerate(adapters):
            if path in adapter:
                own = adapter[path]["lora_a"].shape[1]
                a[number, :, :own], b[number, :own] = adapter[path]["lora_a"], adapter[path]["lora_b"]
        factor = jnp.asarray(scales, weight.dtype)
        changed[path] = LoRAWeights(weight, jnp.asarray(a), jnp.asarray(b), factor, jnp.asarray(chosen))
    return replace_leaves(params, changed)
