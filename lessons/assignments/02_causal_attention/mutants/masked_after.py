"""The mask comes after the softmax: the weights of a row no longer sum to 1.

Give -inf to the scores before the softmax; exp(-inf) is 0.
"""

CHANGES = {
    """scores = np.where(visible, scores, -np.inf)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))""": "powers = np.exp(scores - scores.max(axis=-1, keepdims=True))",
    "weights = powers / powers.sum(axis=-1, keepdims=True)": "weights = np.where(visible, powers / powers.sum(axis=-1, keepdims=True), 0)",
}
