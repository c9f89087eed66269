"""The weighted mean of dA is not subtracted, so adding a constant to all scores would seem to matter.

dscores = A * (dA - sum(A * dA)), with the sum over the keys.
"""

CHANGES = {
    "dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE": "dscores = weights * dweights / SCALE",
}
