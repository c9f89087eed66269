"""This is always the likeliest token, whatever was drawn.

The draw chooses: the first token whose cumulative sum exceeds it.
"""

CHANGES = {
    'return min(int(np.searchsorted(np.cumsum(weights / weights.sum()), draw, side="right")), len(logits) - 1)': "return int(np.argmax(weights))",
}
