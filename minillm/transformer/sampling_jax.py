"""Sampling in JAX. What differs: a compiled program cannot raise, so logits with a NaN give the token -1."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from minillm.axes import Logits, checked
from minillm.config import Sampling
from minillm.layers.fast.argmax import argmax
from minillm.layers.softmax_jax import masked_softmax, softmax
from minillm.transformer.shared import Candidates


@partial(jax.jit, static_argnames="k")
@checked
def top_k_mask(logits: Logits, k: int) -> Candidates:
    """As the reference."""
    return _ranks(logits) < k


@partial(jax.jit, static_argnames="p")
@checked
def top_p_mask(logits: Logits, p: float) -> Candidates:
    """As the reference."""
    probabilities = softmax(logits)
    ordered = -jnp.sort(-probabilities, axis=-1)
    before = jnp.cumsum(ordered, axis=-1) - ordered
    return jnp.take_along_axis(before < p, _ranks(logits), axis=-1)


@partial(jax.jit, static_argnames="sampling")
@checked
def sample(logits: Logits, draw: Float[Any, "*batch"], sampling: Sampling) -> Int[Any, "*batch"]:
    """As the reference."""
    token = _choose(logits, draw, sampling)
    return jnp.where(jnp.isnan(jnp.max(logits, axis=-1)), -1, token)  # the largest of numbers with a NaN is NaN


def _choose(logits: Logits, draw: Float[Any, "*batch"], sampling: Sampling) -> Int[Any, "*batch"]:
    if sampling.temperature == 0:
        return argmax(logits)
    logits = logits / jnp.asarray(sampling.temperature, logits.dtype)
    candidates = jnp.ones(logits.shape, bool)
    if sampling.top_k is not None:
        candidates = top_k_mask(logits, sampling.top_k)
    if sampling.top_p is not None:
        candidates &= top_p_mask(jnp.where(candidates, logits, -jnp.inf), sampling.top_p)
    cumulative = jnp.cumsum(masked_softmax(logits, candidates), axis=-1)
    return jnp.argmax(cumulative > draw[..., None] * cumulative[..., -1:], axis=-1)


def _ranks(logits: Logits) -> Int[Any, "*batch V"]:
    """0 for the largest, 1 for the next ..."""
    return jnp.argsort(jnp.argsort(-logits, axis=-1, stable=True), axis=-1)
