"""With one expert the gate is always 1: its probability divided by itself. The router then gets no gradient.

For k = 1 return the probability unchanged.
"""

CHANGES = {
    "return chosen / chosen.sum(axis=-1, keepdims=True) if experts.shape[-1] > 1 else chosen": "return chosen / chosen.sum(axis=-1, keepdims=True)",
}
