"""What `02_causal_attention` is held to."""

import numpy as np

from minillm.attention import attention_laws as laws
from minillm.course.assignments.folder import Check


def usual(functions, variant):
    """Attention divided by sqrt(H), of one that divides by H: with queries that much longer."""
    own = functions["causal_attention"]

    def causal_attention(query, key, value):
        longer = np.sqrt(query.shape[-1]) if variant["SCALE"] == "H" else 1.0
        return own(query * longer, key, value)

    return (causal_attention,)


CHECKS = [
    Check(
        "causal_attention",
        laws.output_is_the_definition,
        6,
        usual,
        words="Each output is the mean of the values up to its own place, weighted by softmax(q k / {SCALE}).",
    ),
    Check("causal_attention", laws.the_future_changes_nothing, 4, usual),
]
