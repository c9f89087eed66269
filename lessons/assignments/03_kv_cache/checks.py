"""What `03_kv_cache` is held to."""

import numpy as np

from minillm.attention import attention_laws as laws
from minillm.course.assignments.folder import Check
from minillm.laws import fits


def order(N, K, variant):
    """Where each of the laws' query heads stands among the student's, whose groups may be spread."""
    return np.arange(N).reshape(N // K, K).T.ravel() if "%" in variant["HEADS"] else np.arange(N)


def attention(functions, variant):
    """Grouped attention as the laws know it: neighbours share."""
    own = functions["grouped_attention"]

    def grouped(query, key, value):
        places = order(query.shape[-2], key.shape[-2], variant)
        spread = np.empty_like(query)
        spread[:, places] = query
        answer = own(spread, key, value)
        return answer[:, places] if fits(answer, *query.shape) else answer

    return (grouped,)


def step(functions, variant):
    """A step of decoding as the laws know it."""
    own = functions["decode"]

    def decode(query, key, value, keys, values, length):
        places = order(len(query), len(key), variant)
        spread = np.empty_like(query)
        spread[places] = query
        answer = own(spread, key, value, keys, values, length)
        if isinstance(answer, tuple | list) and len(answer) == 3 and fits(answer[0], *query.shape):
            return (answer[0][places], *answer[1:])
        return answer

    return (decode,)


def both(functions, variant):
    """The step, and the whole at once."""
    return (*step(functions, variant), *attention(functions, variant))


CHECKS = [
    Check(
        "grouped_attention", laws.grouped_heads_share, 4, attention, words="Query head n uses key/value head {HEADS}."
    ),
    Check("decode", laws.a_step_is_attention_over_what_is_filled, 3, step),
    Check("decode", laws.a_step_writes_one_place, 2, step),
    Check("decode", laws.decoding_is_the_whole_at_once, 1, both),
]
