"""The backward pass leaves out the softmax.

The weights are softmax(scores); the gradient goes through it.
"""

CHANGES = {
    "dscores = weights * (dweights - (weights * dweights).sum(axis=-1, keepdims=True)) / SCALE": "dscores = dweights / SCALE",
}
