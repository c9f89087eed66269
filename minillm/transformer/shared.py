"""What the reference of the transformer and its twin share: types, and the arguments that both refuse."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from minillm.axes import Tokens, is_traced
from minillm.config import Config
from minillm.errors import InputError

Params = dict[str, Any]
NextLogits = Float[Any, "*batch V"]
AllLogits = Float[Any, "*batch T V"]
Labels = Int[Any, "*batch T"]
Loss = Float[Any, ""]
Candidates = Bool[Any, "*batch V"]  # True for the tokens that may be sampled


class AnswerScores(NamedTuple):
    """Three ways to rank answers; each the larger the better, in nats."""

    log_probability: Float[Any, "*batch"]
    per_token: Float[Any, "*batch"]
    domain_pmi: Float[Any, "*batch"]


def check_tokens(tokens: Tokens, config: Config) -> None:
    """Refuse an empty sequence, and ids that the embedding has no row for; inside `jax.jit` these give NaN instead."""
    if tokens.shape[-1] == 0:
        raise InputError("transformer: there are no tokens; give at least one.")
    if is_traced(tokens):
        return
    lowest, highest = np.min(tokens), np.max(tokens)
    if lowest < 0 or highest >= config.vocab_size:
        bad = lowest if lowest < 0 else highest
        raise InputError(f"transformer: token id {bad} is outside the vocabulary of {config.vocab_size}.")


def check_experts(config: Config) -> None:
    """Refuse to count the loads of experts that a model does not have."""
    if config.moe is None:
        raise InputError("layer_loads: the model has no experts.")


def check_logits(logits: NextLogits) -> None:
    """Refuse logits that nothing can be sampled from."""
    check_token(-1 if np.isnan(logits).any() else 0)


def check_token(token: int) -> None:
    """Refuse the -1 by which a compiled program, which cannot raise, says that it was given such logits."""
    if token < 0:
        raise InputError("sample: a logit is NaN; the model's parameters or its input are damaged.")


def check_bounds(start: Int[Any, "*batch"], end: Int[Any, "*batch"], T: int) -> None:
    """Refuse a part of a text that begins before its second token, or ends beyond its last."""
    if is_traced(start, end):
        return
    if np.any(np.less(start, 1)) or np.any(np.greater(end, T)) or np.any(np.greater(start, end)):
        raise InputError(f"sequence_log_probability: need 1 <= start <= end <= {T}; the first token has no context.")


def bucket(length: int, halfway: bool = False) -> int:
    """The few lengths that are compiled: the next power of two, at least 16; with `halfway` also those between.

    >>> [bucket(length) for length in (1, 16, 17, 500)], [bucket(length, halfway=True) for length in (1, 17, 500)]
    ([16, 16, 32, 512], [16, 24, 512])
    """
    power = max(16, 1 << (length - 1).bit_length())
    return power * 3 // 4 if halfway and power > 16 and length <= power * 3 // 4 else power
