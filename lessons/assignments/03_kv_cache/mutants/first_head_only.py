"""All query heads use the first key/value head.

The query heads form K groups; the docstring says which key/value head each of them uses.
"""

CHANGES = {
    "heads = HEADS": "heads = np.zeros(N, int)",
}
