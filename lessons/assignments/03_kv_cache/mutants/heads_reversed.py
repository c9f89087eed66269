"""The groups have the right size but use the wrong key/value heads.

For N = 4 and K = 2, write down from the docstring which head each of 0, 1, 2, 3 uses.
"""

CHANGES = {
    "heads = HEADS": "heads = (K - 1) - HEADS",
}
