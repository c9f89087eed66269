"""All query heads ask the first key/value head.

Query heads are in K groups; the docstring says which head belongs to which.
"""

CHANGES = {
    "heads = HEADS": "heads = np.zeros(N, int)",
}
