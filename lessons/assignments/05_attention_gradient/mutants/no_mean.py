"""The term that subtracts the weighted mean of dA is missing: raising all scores together would seem to matter.

dscores = A * (dA - sum(A * dA)), the sum over the keys.
"""

CHANGES = {
    "dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE": "dscores = weights * dweights / SCALE",
}
