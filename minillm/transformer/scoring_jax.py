"""Scoring, jitted: `minillm.transformer.scoring` for CPU, GPU and TPU."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from minillm.axes import Tokens, checked
from minillm.config import Config
from minillm.errors import InputError
from minillm.layers.softmax_jax import log_softmax
from minillm.transformer.transformer_jax import Params, check_tokens, transformer


class AnswerScores(NamedTuple):
    """As the reference."""

    log_probability: Float[Any, "*batch"]
    per_token: Float[Any, "*batch"]
    domain_pmi: Float[Any, "*batch"]


@jax.jit
@checked
def token_log_probabilities(logits: Float[Any, "*batch T V"], tokens: Tokens) -> Float[Any, "*batch T-1"]:
    """As the reference."""
    log_shares = log_softmax(logits[..., :-1, :])
    return jnp.take_along_axis(log_shares, tokens[..., 1:, None], axis=-1)[..., 0]


@checked
def sequence_log_probability(
    params: Params,
    tokens: Tokens,
    config: Config,
    start: Int[Any, "*batch"] | None = None,
    end: Int[Any, "*batch"] | None = None,
) -> Float[Any, "*batch"]:
    """As the reference; traced bounds are not looked at."""
    check_tokens(tokens, config)
    batch, T = tokens.shape[:-1], tokens.shape[-1]
    start = jnp.ones(batch, int) if start is None else start
    end = jnp.full(batch, T) if end is None else end
    if not any(isinstance(bound, jax.core.Tracer) for bound in (start, end)) and (
        np.any(np.less(start, 1)) or np.any(np.greater(end, T)) or np.any(np.greater(start, end))
    ):
        raise InputError(f"sequence_log_probability: need 1 <= start <= end <= {T}; the first token has no context.")
    return _sequence_log_probability(params, tokens, start, end, config)


@partial(jax.jit, static_argnames="config")
def _sequence_log_probability(params: Params, tokens: Tokens, start: Any, end: Any, config: Config) -> Any:
    positions = jnp.arange(1, tokens.shape[-1])
    start, end = (jnp.asarray(bound, positions.dtype)[..., None] for bound in (start, end))
    counted = (positions >= start) & (positions < end)
    log_shares = token_log_probabilities(transformer(params, tokens, config), tokens)
    return jnp.sum(jnp.where(counted, log_shares, 0), axis=-1)


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
