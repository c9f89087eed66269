"""This is always the likeliest token, whatever was drawn.

The draw chooses: the first token whose sum of shares exceeds it.
"""

CHANGES = {
    'return min(int(np.searchsorted(np.cumsum(powers / powers.sum()), draw, side="right")), len(logits) - 1)': "return int(np.argmax(powers))",
}
