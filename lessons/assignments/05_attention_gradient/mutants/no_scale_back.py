"""The scores were divided on the way there; their slope is divided on the way back too.

dquery = dscores key / scale, and dkey likewise.
"""

CHANGES = {
    "dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE": "dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True))",
}
