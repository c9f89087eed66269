"""A draw that equals a sum belongs to the next token: its sum must exceed the draw. With a draw of 0 this matters
where the first shares are 0.

side='right'.
"""

CHANGES = {
    'return min(int(np.searchsorted(np.cumsum(powers / powers.sum()), draw, side="right")), len(logits) - 1)': 'return min(int(np.searchsorted(np.cumsum(powers / powers.sum()), draw, side="left")), len(logits) - 1)',
}
