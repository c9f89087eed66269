"""With one expert the gate is always 1: its share divided by itself. The router then has no gradient.

For k = 1 give back the share as it is.
"""

CHANGES = {
    "return shares / shares.sum(axis=-1, keepdims=True) if experts.shape[-1] > 1 else shares": "return shares / shares.sum(axis=-1, keepdims=True)",
}
