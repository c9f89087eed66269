"""Attention's gradient by hand.

One head, no mask: output = softmax(query key^T / {SCALE}) value. You are given the gradient of a loss
by the output; find its gradients by the query, the key and the value. Derive them on paper first; the
last line of your derivation is your code.
"""

import numpy as np


def attention_gradient(query, key, value, upstream):
    """`query` is (T, H), `key` and `value` are (S, H), `upstream` (the gradient by the output) is (T, H).

    Returns (dquery, dkey, dvalue), each with the shape of its argument. The scores are divided by
    {SCALE}.
    """
    # BEGIN SOLUTION
    H = query.shape[-1]
    scores = query @ key.T / SCALE
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = exponentials / exponentials.sum(axis=-1, keepdims=True)
    dvalue = weights.T @ upstream
    dweights = upstream @ value.T
    dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE
    return dscores @ key, dscores.T @ query, dvalue
    # END SOLUTION
