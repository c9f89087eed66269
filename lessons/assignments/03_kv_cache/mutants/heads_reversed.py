"""The groups are right in size, but ask the wrong key/value heads.

Write down for N = 4, K = 2 which head each of 0, 1, 2, 3 asks, by the docstring.
"""

CHANGES = {
    "heads = HEADS": "heads = (K - 1) - HEADS",
}
