"""Nothing is masked: a token sees the tokens after it.

Compare the positions of the keys, np.arange(S), with the position of each query, S - T + t, and set the scores of
later keys to -inf.
"""

CHANGES = {
    """scores = np.where(visible, scores, -np.inf)
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))""": "exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))",
}
