"""The pairs are the other convention's: halves and neighbours are different pairs.

Read in the docstring which two numbers of a head belong together in your copy.
"""

CHANGES = {
    'halves[PAIRS != "halves"]': 'halves[PAIRS == "halves"]',
}
