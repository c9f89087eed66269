"""Fine-tuning as a change: what training adds to some matrices of a model, and the loss with a change added.

    changes = {path: D},    the model computes x (W + D)

A change is free, or a product of two thin matrices, D = scale A B (LoRA). Everything else of the model stays, so all of
the gain lies in the changes, and one can cut them, swap them and measure again.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from minillm.config import Config
from minillm.layers.losses_jax import cross_entropy
from minillm.parameters import Adapter, Params, leaf_at, replace_leaves
from minillm.training.fit import Rates, fit
from minillm.transformer.transformer_jax import transformer

Changes = dict[str, Float[Any, "d_in d_out"]]  # by the path of the matrix
Rows = Int[Any, "B length"]  # all tokens but the last are read, all but the first predicted


def next_token_loss(params: Params, rows: Rows, config: Config) -> Any:
    """Mean nats of the next token."""
    return cross_entropy(transformer(params, rows[:, :-1], config), rows[:, 1:])


def loss_with(changes: Changes, params: Params, rows: Rows, config: Config) -> float:
    """Nats of the next token, of the model with these changes added.

    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
    >>> params = init_params(TINY, np.random.default_rng(0))
    >>> bool(abs(loss_with({}, params, np.array([[1, 2, 3]]), TINY) - np.log(7)) < 0.05)  # it knows nothing yet
    True
    """
    return float(_losses(config)[0](changes, rows, params))


def free_change(
    params: Params, paths: Iterable[str], batches: Iterable[Rows], learning_rate: Rates, config: Config
) -> Changes:
    """What training adds to the matrices at these paths, where each may change as it likes.

    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
    >>> params, rows = init_params(TINY, np.random.default_rng(0), np.float32), np.array([[1, 2, 3]])
    >>> changes = free_change(params, ["layers.0.mlp.up"], [rows] * 5, 0.01, TINY)
    >>> list(changes), loss_with(changes, params, rows, TINY) < loss_with({}, params, rows, TINY)
    (['layers.0.mlp.up'], True)
    """
    zeros = {path: np.zeros_like(leaf_at(params, path)) for path in paths}
    return jax.device_get(fit(zeros, _losses(config)[0], batches, learning_rate, frozen=params).params)


def thin_change(
    params: Params, adapter: Adapter, scale: float, batches: Iterable[Rows], learning_rate: Rates, config: Config
) -> Changes:
    """The same where each change must be a product of two thin matrices, which begin as the adapter's."""
    fitted = fit(adapter, _losses(config)[1], batches, learning_rate, frozen=(params, np.float32(scale)))
    return jax.device_get(_products(fitted.params, np.float32(scale)))


def _products(adapter: Adapter, scale: Any) -> Changes:
    return {path: scale * (pair["lora_a"] @ pair["lora_b"]) for path, pair in adapter.items()}


@cache
def _losses(config: Config) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The losses of free and of thin changes: one pair of functions for each config, so that each compiles once."""

    @jax.jit
    def free(changes: Changes, rows: Rows, params: Params) -> Any:
        changed = {path: leaf_at(params, path) + change for path, change in changes.items()}
        return next_token_loss(replace_leaves(params, changed), rows, config)

    def thin(adapter: Adapter, rows: Rows, frozen: tuple[Params, Any]) -> Any:
        params, scale = frozen
        return free(_products(adapter, scale), rows, params)

    return free, thin
