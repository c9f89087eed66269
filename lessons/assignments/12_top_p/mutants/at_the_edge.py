"""A draw that equals a cumulative sum belongs to the next token: the sum must exceed the draw. With a draw of 0 this
matters if the first probabilities are 0.

side='right'.
"""

CHANGES = {
    'return min(int(np.searchsorted(np.cumsum(weights / weights.sum()), draw, side="right")), len(logits) - 1)': 'return min(int(np.searchsorted(np.cumsum(weights / weights.sum()), draw, side="left")), len(logits) - 1)',
}
