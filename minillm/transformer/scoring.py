"""Scoring: how likely a model holds a text, and which of several answers it prefers.

    log P(x)          = sum_t log p(x_t | x_<t)                             the chain rule
    log P(a | q)      = sum_t log p(a_t | q, a_<t)
    per token         = log P(a | q) / number of tokens of a                [Brown2020], section 2.4
    domain PMI        = log P(a | q) - log P(a | domain premise)             [Holtzman2021]

All in nats. A sum favours short answers, since each token costs; a mean favours long predictable ones; the
PMI asks how much *this* question raised the answer above what its domain gives it anyway.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from minillm.axes import Tokens, checked
from minillm.config import Config
from minillm.layers.softmax import log_softmax
from minillm.transformer.shared import AnswerScores, Params, check_bounds
from minillm.transformer.transformer import transformer


@checked
def token_log_probabilities(logits: Float[Any, "*batch T V"], tokens: Tokens) -> Float[Any, "*batch T-1"]:
    """log p(x_t | x_<t) for t = 1 .. T-1: what the logits after position t-1 give the token at t.

    >>> logits = np.log(np.array([[0.25, 0.75], [0.5, 0.5]]))
    >>> np.exp(token_log_probabilities(logits, np.array([0, 1])))
    array([0.75])
    """
    log_probabilities = log_softmax(logits[..., :-1, :])
    return np.take_along_axis(log_probabilities, tokens[..., 1:, None], axis=-1)[..., 0]


@checked
def sequence_log_probability(
    params: Params,
    tokens: Tokens,
    config: Config,
    start: Int[Any, "*batch"] | None = None,
    end: Int[Any, "*batch"] | None = None,
) -> Float[Any, "*batch"]:
    """Log-probability of tokens start <= t < end, given all before them; by default of all but the first.

    With `start` the length of a question this is log P(answer | question); tokens from `end` on are padding.

    >>> from minillm.config import TINY
    >>> from minillm.transformer.transformer import init_params
    >>> params = init_params(TINY, np.random.default_rng(0))
    >>> value = sequence_log_probability(params, np.array([1, 2, 3]), TINY)
    >>> bool(abs(value - 2 * np.log(1 / 7)) < 0.2)  # a fresh model holds all tokens about equally likely
    True
    """
    batch, T = tokens.shape[:-1], tokens.shape[-1]
    start = np.ones(batch, int) if start is None else start
    end = np.full(batch, T) if end is None else end
    check_bounds(start, end, T)
    positions = np.arange(1, T)
    counted = (positions >= start[..., None]) & (positions < end[..., None])
    log_probabilities = token_log_probabilities(transformer(params, tokens, config), tokens)
    return np.sum(np.where(counted, log_probabilities, 0), axis=-1)


@checked
def answer_scores(
    log_probability: Float[Any, "*batch"],
    num_tokens: Int[Any, "*batch"],
    premise_log_probability: Float[Any, "*batch"],
) -> AnswerScores:
    """The three scores of each answer, from log P(a | q), its length, and log P(a | domain premise).

    >>> answer_scores(np.array([-4.0]), np.array([2]), np.array([-5.0]))
    AnswerScores(log_probability=array([-4.]), per_token=array([-2.]), domain_pmi=array([1.]))
    """
    per_token = log_probability / num_tokens.astype(log_probability.dtype)
    return AnswerScores(log_probability, per_token, log_probability - premise_log_probability)
