"""LoRA: change a big matrix by the product of two thin ones, and train only these.

    y = x W + scale x A B,    scale = alpha / R        [Hu2021], eq. 3; our A, B are their A^T, B^T

W stays as it is. A begins random and B zero, so that at first nothing changes; with B = 0 the first gradient reaches B
alone. Rank-stabilised, the scale is alpha / sqrt(R) [Kalajdzievski2023]. Since x W + scale x A B = x (W + scale A B),
the change can be merged into W, and then costs nothing.

An adapter of a model is a dict: the path of a matrix in the parameter tree, such as "layers.0.attention.query", to
{"lora_a", "lora_b"} (`minillm.parameters`).
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from minillm.adaptation.shared import FactorA, FactorB, Inputs, Keep, Matrix, Outputs, check_chosen
from minillm.axes import checked, wide
from minillm.config import LoRAConfig
from minillm.errors import InputError
from minillm.parameters import Adapter, Params, check_adapter, leaf_at, replace_leaves, target_paths


@checked
def lora_linear(
    x: Inputs,
    weight: Matrix,
    lora_a: FactorA,
    lora_b: FactorB,
    scale: float = 1.0,
    keep: Keep | None = None,
    dropout: float = 0.0,
) -> Outputs:
    """The layer and its change. `keep`, drawn by the caller, drops inputs of the change alone; x W has them all.

    >>> lora_linear(np.array([1.0, 2.0]), np.eye(2), np.array([[1.0], [1.0]]), np.array([[0.0, 1.0]]), 0.5)
    array([1. , 3.5])
    """
    dropped = x if keep is None else np.where(keep, x / (1 - dropout), 0).astype(x.dtype)
    inner = dropped @ lora_a
    return x @ weight + np.asarray(scale, inner.dtype) * inner @ lora_b


@checked
def lora_linear_by_row(
    x: Float[Any, "B T d_in"],
    weight: Matrix,
    lora_a: Float[Any, "adapters d_in R"],
    lora_b: Float[Any, "adapters R d_out"],
    scale: Float[Any, "adapters"],
    chosen: Int[Any, "B"],
) -> Float[Any, "B T d_out"]:
    """One batch, several adapters: each row has its own, or none where `chosen` is -1.

    >>> x, a, b = np.ones((3, 1, 1)), np.ones((2, 1, 1)), np.array([[[1.0]], [[10.0]]])
    >>> lora_linear_by_row(x, np.ones((1, 1)), a, b, np.ones(2), np.array([1, -1, 0])).ravel()
    array([11.,  1.,  2.])
    """
    check_chosen(chosen, len(lora_a))
    out = x @ weight
    for row, one in enumerate(chosen):
        if one >= 0:
            out[row] += (scale[one] * (x[row] @ lora_a[one] @ lora_b[one])).astype(x.dtype)
    return out


@checked
def lora_delta(lora_a: FactorA, lora_b: FactorB, scale: float = 1.0) -> Matrix:
    """The change as a matrix: scale A B, added up in at least float32.

    >>> lora_delta(np.array([[1.0], [2.0]]), np.array([[3.0, 4.0]]), 0.5)
    array([[1.5, 2. ],
           [3. , 4. ]])
    """
    return (np.asarray(scale, wide(lora_a).dtype) * (wide(lora_a) @ wide(lora_b))).astype(lora_a.dtype)


# On a model's parameter tree


def init_lora(params: Params, config: LoRAConfig, rng: np.random.Generator, dtype: Any = np.float32) -> Adapter:
    """A new adapter: A uniform within 1 / sqrt(d_in), as in the paper's code and in PEFT; B zero.

    >>> adapter = init_lora({"head": np.ones((3, 5))}, LoRAConfig(rank=2), np.random.default_rng(0))
    >>> adapter["head"]["lora_a"].shape, adapter["head"]["lora_b"].any()
    ((3, 2), np.False_)
    """
    adapter = {}
    for path in target_paths(params, config.targets):
        d_in, d_out = leaf_at(params, path).shape
        if config.rank > min(d_in, d_out):
            raise InputError(
                f"LoRA: rank is {config.rank}, but {path} is a matrix ({d_in}, {d_out}); it must be at most "
                f"{min(d_in, d_out)}, or {path} no target."
            )
        bound = 1 / math.sqrt(d_in)
        lora_a = rng.uniform(-bound, bound, (d_in, config.rank)).astype(dtype)
        adapter[path] = {"lora_a": lora_a, "lora_b": np.zeros((config.rank, d_out), dtype)}
    return adapter


def merge_lora(params: Params, adapter: Adapter, scale: float) -> Params:
    """The model with the changes in its matrices: as fast as the base. The base stays as it was.

    >>> adapter = {"head": {"lora_a": np.ones((1, 1)), "lora_b": np.ones((1, 2))}}
    >>> merge_lora({"head": np.zeros((1, 2))}, adapter, 0.5)
    {'head': array([[0.5, 0.5]])}
    """
    check_adapter(params, adapter)
    return replace_leaves(
        params, {path: leaf_at(params, path) + lora_delta(**pair, scale=scale) for path, pair in adapter.items()}
    )


def unmerge_lora(params: Params, adapter: Adapter, scale: float) -> Params:
    """The changes taken out again: the base to within rounding. To have its very bits, keep the base.

    >>> adapter = {"head": {"lora_a": np.ones((1, 1)), "lora_b": np.ones((1, 2))}}
    >>> unmerge_lora(merge_lora({"head": np.zeros((1, 2))}, adapter, 0.5), adapter, 0.5)
    {'head': array([[0., 0.]])}
    """
    return merge_lora(params, adapter, -scale)
