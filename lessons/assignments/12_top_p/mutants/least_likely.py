"""The least likely tokens are allowed: the order rises.

Sort the negative probabilities.
"""

CHANGES = {
    'order = np.argsort(-probabilities, kind="stable")': 'order = np.argsort(probabilities, kind="stable")',
}
