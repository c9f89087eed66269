"""The scores are divided in the forward pass, so their gradient is divided in the backward pass too.

dquery = dscores key / scale, and dkey likewise.
"""

CHANGES = {
    "dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE": "dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True))",
}
