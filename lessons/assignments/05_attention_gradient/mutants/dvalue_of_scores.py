"""The output is the weights times the values; dvalue needs the weights, and these are the scores.

dvalue = A^T upstream, A after the softmax.
"""

CHANGES = {
    "dvalue = weights.T @ upstream": "dvalue = scores.T @ upstream",
}
