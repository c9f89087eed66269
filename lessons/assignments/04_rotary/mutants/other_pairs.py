"""These are the pairs of the other convention: halves and neighbours are different pairs.

The docstring of your copy says which two numbers of a head form a pair.
"""

CHANGES = {
    'halves[PAIRS != "halves"]': 'halves[PAIRS == "halves"]',
}
