"""The mean that is subtracted is weighted by the attention weights: sum(A * dA), not the plain mean of dA.

Multiply by the weights before you sum.
"""

CHANGES = {
    "dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE": "dscores = weights * (dweights - dweights.mean(axis=-1, keepdims=True)) / SCALE",
}
