"""weights * (1 - weights) is the derivative of each weight by its own score alone. Every weight depends on every score
of its row.

dscores = A * (dA - sum(A * dA)).
"""

CHANGES = {
    "dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE": "dscores = weights * (1 - weights) * dweights / SCALE",
}
