"""The mask is applied after the softmax, so the weights of a row no longer sum to 1.

Set the scores to -inf before the softmax; exp(-inf) is 0.
"""

CHANGES = {
    """scores = np.where(visible, scores, -np.inf)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))""": "exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))",
    "weights = exponentials / exponentials.sum(axis=-1, keepdims=True)": "weights = np.where(visible, exponentials / exponentials.sum(axis=-1, keepdims=True), 0)",
}
