"""A token sees those after it: nothing is masked.

Compare the positions of keys, np.arange(S), with that of each query, S - T + t, and give -inf to the later ones.
"""

CHANGES = {
    """scores = np.where(visible, scores, -np.inf)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))""": "powers = np.exp(scores - scores.max(axis=-1, keepdims=True))",
}
