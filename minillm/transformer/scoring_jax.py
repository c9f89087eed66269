"""Scoring in JAX; nothing differs but that bounds inside `jax.jit` cannot be looked at."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from minillm.axes import Tokens, checked
from minillm.config import Config
from minillm.layers.softmax_jax import log_softmax
from minillm.transformer.shared import AnswerScores, Params, check_bounds
from minillm.transformer.transformer_jax import transformer


@jax.jit
@checked
def token_log_probabilities(logits: Float[Any, "*batch T V"], tokens: Tokens) -> Float[Any, "*batch T-1"]:
    """As the reference."""
    log_probabilities = log_softmax(logits[..., :-1, :])
    return jnp.take_along_axis(log_probabilities, tokens[..., 1:, None], axis=-1)[..., 0]


@checked
def sequence_log_probability(
    params: Params,
    tokens: Tokens,
    config: Config,
    start: Int[Any, "*batch"] | None = None,
    end: Int[Any, "*batch"] | None = None,
) -> Float[Any, "*batch"]:
    """As the reference."""
    batch, T = tokens.shape[:-1], tokens.shape[-1]
    start = jnp.ones(batch, int) if start is None else start
    end = jnp.full(batch, T) if end is None else end
    check_bounds(start, end, T)
    positions = jnp.arange(1, T)
    start, end = jnp.asarray(start, positions.dtype), jnp.asarray(end, positions.dtype)
    counted = (positions >= start[..., None]) & (positions < end[..., None])
    log_probabilities = token_log_probabilities(transformer(params, tokens, config), tokens)
    return jnp.sum(jnp.where(counted, log_probabilities, 0), axis=-1)


@jax.jit
@checked
def answer_scores(
    log_probability: Float[Any, "*batch"],
    num_tokens: Int[Any, "*batch"],
    premise_log_probability: Float[Any, "*batch"],
) -> AnswerScores:
    """As the reference."""
    per_token = log_probability / num_tokens.astype(log_probability.dtype)
    return AnswerScores(log_probability, per_token, log_probability - premise_log_probability)
