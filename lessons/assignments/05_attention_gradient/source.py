"""Attention's gradient by hand.

One head, no mask: output = softmax(query key^T / {SCALE}) value. Given the slope of a loss by the
output, find its slope by the query, the key and the value. Derive it on paper first; the last line of
your derivation is your code.
"""

import numpy as np


def attention_gradient(query, key, value, upstream):
    """`query` is (T, H), `key` and `value` are (S, H), `upstream` (the slope by the output) is (T, H).

    Gives (dquery, dkey, dvalue), each of the shape of what it is the slope by. Scores are divided by
    {SCALE}.
    """
    # BEGIN SOLUTION
    H = query.shape[-1]
    scores = query @ key.T / SCALE
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    dvalue = weights.T @ upstream
    dweights = upstream @ value.T
    dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE
    return dscores @ key, dscores.T @ query, dvalue
    # END SOLUTION
