"""dvalue needs the attention weights, and these are the scores: the output is the weights times the values.

dvalue = A^T upstream, where A is the result of the softmax.
"""

CHANGES = {
    "dvalue = weights.T @ upstream": "dvalue = scores.T @ upstream",
}
